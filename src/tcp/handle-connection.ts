/**
 * The life of a TCP connection, in the order it happens: read the hello if a route asks for it, match a route, pick an
 * endpoint, connect (elsewhere when that fails: the client has seen nothing yet), relay, finish. Start reading here.
 */
import { ERRORS, type ErrorCode } from "../base/errors.ts";
import { hashString } from "../base/hash.ts";
import { ENDPOINT, LISTENER, POOL, ROUTE } from "../observability/metrics-table.ts";
import type { EndpointGuard } from "../pools/endpoint-guard.ts";
import { isForFallback } from "../pools/fallback.ts";
import { pick } from "../pools/pick.ts";
import type { Pool } from "../pools/pool.ts";
import { connectionKey, PoolSession } from "../pools/pool-session.ts";
import { endRetry, holdRetry } from "../pools/retry-hold.ts";
import { waitForEndpoint } from "../pools/wait-for-endpoint.ts";
import { AMBIGUOUS } from "../routing/router.ts";
import type { PoolSessions } from "../sessions/pool-sessions.ts";
import { NEVER } from "../transport/deadlines.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { TcpExchange } from "./tcp-exchange.ts";
import { TcpUpstream } from "./upstream.ts";

/** Everything that routes need is known. */
export function handleConnection(connection: TcpExchange): void {
  const route = connection.settings.router.match(connection.view);
  if (route === undefined || route === AMBIGUOUS) return refuse(connection, "E_NO_ROUTE");
  connection.matched = route;
  begin(connection, route.choose(connection.view));
}

/** Past the circuit and the limits of the pool, where it has any. */
function begin(connection: TcpExchange, pool: Pool): void {
  connection.poolInUse = pool;
  connection.key = keyOf(pool, connection.view.clientIp);
  const entered = pool.gate?.enter(connection.context.clock.now());
  if (typeof entered === "string") return fallBack(connection, entered);
  connection.ticket = entered;
  if (pool.sessions === undefined) attempt(connection, pool);
  else findSession(connection, pool, pool.sessions);
}

/** Looks up where the client was before, and goes on with `attempt`: at once, or when a shared store has been asked. */
function findSession(connection: TcpExchange, pool: Pool, sessions: PoolSessions<Endpoint>): void {
  const key = connectionKey(sessions.config, connection.view);
  const session = new PoolSession(connection, pool, sessions, key);
  connection.sessionInUse = session;
  connection.stopWaiting = session.lookUp(() => {
    connection.stopWaiting = undefined;
    attempt(connection, pool);
  });
  if (connection.stopWaiting === undefined) attempt(connection, pool);
}

/** The pool cannot take it: another one may, where that is set. No endpoint has seen anything of it. */
function fallBack(connection: TcpExchange, code: ErrorCode): void {
  const pool = connection.poolInUse as Pool;
  const { fallback } = pool;
  if (fallback === undefined || !isForFallback(code)) return refuse(connection, code);
  // Elsewhere nobody knows what it is about.
  if (connection.sessionInUse?.isBound === true) return refuse(connection, code);
  leavePool(connection, code);
  connection.context.metrics.add(pool.cells + POOL.fellBack, 1);
  connection.attemptsElsewhere = connection.attempts;
  connection.tried = undefined;
  connection.sessionInUse?.count();
  connection.sessionInUse = undefined;
  begin(connection, fallback);
}

function keyOf(pool: Pool, clientIp: string): number {
  const { key } = pool;
  if (key === undefined) return 0;
  return hashString(typeof key === "object" && "constant" in key ? key.constant : clientIp);
}

function attempt(connection: TcpExchange, pool: Pool): void {
  const { sessionInUse } = connection;
  if (sessionInUse?.lost === true) return refuse(connection, "E_SESSION_ENDPOINT");
  const endpoint = pick(connection, pool, connection.tried);
  if (endpoint !== undefined) return connect(connection, endpoint);
  connection.stopWaiting = waitForEndpoint(pool, {
    deadlineMs: NEVER,
    get preferred() {
      return sessionInUse?.preferred;
    },
    get isBound() {
      return sessionInUse?.isBound === true;
    },
    get nowMs() {
      return connection.nowMs;
    },
    pick: () => pick(connection, pool, connection.tried),
    begin(free) {
      connection.stopWaiting = undefined;
      connect(connection, free);
    },
    refuse(code) {
      connection.stopWaiting = undefined;
      fallBack(connection, code);
    },
  });
  if (connection.stopWaiting !== undefined) connection.context.metrics.add(pool.cells + POOL.queued, 1);
}

function connect(connection: TcpExchange, endpoint: Endpoint): void {
  const { metrics, sweep, clock } = connection.context;
  connection.attempts++;
  connection.endpoint = endpoint.id;
  connection.sessionInUse?.goesTo(endpoint);
  connection.connectStartedMs = clock.now();
  metrics.add(endpoint.cells + ENDPOINT.attempts, 1);
  const upstream = new TcpUpstream(endpoint, connection, (gone) => sweep.remove(gone));
  connection.upstream = upstream;
  upstream.dial();
}

/** The endpoint is there: all that circuits and budgets want to know of it is known. */
export function connected(connection: TcpExchange, { endpoint }: TcpUpstream): void {
  const nowMs = connection.context.clock.now();
  connection.connectMs = nowMs - connection.connectStartedMs;
  const { admission, connectMs, poolInUse, ticket } = connection;
  poolInUse?.view.guards?.get(endpoint)?.ended(admission, "success", connectMs, nowMs);
  ticket?.judge(false, connectMs, nowMs);
  endRetry(connection);
  connection.sessionInUse?.count();
}

/** The endpoint could not be reached: nothing is lost, another may be tried. */
export function connectFailed(connection: TcpExchange, upstream: TcpUpstream, code: ErrorCode): void {
  const pool = connection.poolInUse as Pool;
  const { endpoint } = upstream;
  const { metrics } = connection.context;
  connection.upstream = undefined;
  metrics.add(endpoint.cells + ENDPOINT.failures, 1);
  giveBack(connection, upstream, true);
  connection.tried = connection.tried === undefined ? [endpoint] : [...connection.tried, endpoint];
  const other = mayTryAgain(connection, pool) ? pick(connection, pool, connection.tried) : undefined;
  if (other === undefined) return fallBack(connection, code);
  metrics.add(pool.cells + POOL.retries, 1);
  connect(connection, other);
}

function mayTryAgain(connection: TcpExchange, pool: Pool): boolean {
  endRetry(connection);
  const tries = connection.attempts - connection.attemptsElsewhere;
  if (tries > pool.retry.attempts) return false;
  if (holdRetry(connection, pool, "connect-failure", tries)) return true;
  connection.context.metrics.add(pool.cells + POOL.retriesOverBudget, 1);
  return false;
}

/** Gives the endpoint's place back, once for each that was picked. */
function giveBack(connection: TcpExchange, { endpoint }: TcpUpstream, failed: boolean): void {
  const pool = connection.poolInUse as Pool;
  const observer = pool.view.observers?.get(endpoint);
  // How long a connection lasts says nothing of its endpoint; how long it took to be made does.
  if (observer !== undefined) {
    const waitedMs = connection.context.clock.now() - connection.connectStartedMs;
    observer.onRelease?.(endpoint, connection.connectMs < 0 ? waitedMs : connection.connectMs, failed);
  }
  // A connection that was made has said so when it was.
  if (connection.connectMs < 0) tellGuard(connection, pool.view.guards?.get(endpoint), failed);
  endpoint.release();
  if (pool.queue.length > 0) pool.queue.wake();
}

function tellGuard(
  { admission, context, connectStartedMs }: TcpExchange,
  guard: EndpointGuard | undefined,
  failed: boolean,
): void {
  const nowMs = context.clock.now();
  if (failed) guard?.ended(admission, "connect-failure", nowMs - connectStartedMs, nowMs);
  else guard?.cancelled(admission);
}

/** Gives back what the connection holds of its pool. Where no endpoint could be reached, that is the pool's failure. */
function leavePool(connection: TcpExchange, failure: ErrorCode | undefined): void {
  endRetry(connection);
  const { ticket, attempts, attemptsElsewhere, connectMs, startedMs } = connection;
  if (ticket === undefined) return;
  connection.ticket = undefined;
  const nowMs = connection.context.clock.now();
  const isFailure = failure !== undefined && ERRORS[failure].source === "upstream";
  if (isFailure && connectMs < 0 && attempts > attemptsElsewhere) ticket.judge(true, nowMs - startedMs, nowMs);
  ticket.giveBack();
}

/** A session lives on after its connections, however long these were. */
function endSession({ sessionInUse, connectMs }: TcpExchange): void {
  if (connectMs < 0) sessionInUse?.count();
  else sessionInUse?.renew();
}

/** Ends a connection that cannot be served; a reset, so that the client does not take it for the endpoint's own end. */
export function refuse(connection: TcpExchange, code: ErrorCode): void {
  connection.failure ??= code;
  finish(connection);
  connection.abort();
}

/** The end of every connection: counted, logged, and what it held given back. Safe to call again. */
export function finish(connection: TcpExchange): void {
  if (connection.finished) return;
  connection.finished = true;
  const { context, settings, matched, failure, poolInUse, upstream } = connection;
  const { metrics } = context;
  connection.stopWaiting?.();
  connection.stopWaiting = undefined;
  if (upstream !== undefined) {
    connection.upstream = undefined;
    upstream.abandon(failure === undefined);
    giveBack(connection, upstream, failure !== undefined && ERRORS[failure].source === "upstream");
  }
  leavePool(connection, failure);
  endSession(connection);
  connection.totalMs = context.clock.now() - connection.startedMs;
  metrics.add(settings.cells + LISTENER.requests, 1);
  if (matched !== undefined) {
    metrics.add(matched.cells + ROUTE.statusClass, 1);
    metrics.observe(matched.cells + ROUTE.duration, connection.totalMs);
  }
  if (failure !== undefined) {
    metrics.countReason(failure);
    if (poolInUse !== undefined && connection.attempts === 0) metrics.add(poolInUse.cells + POOL.refused, 1);
  }
  context.accessLog?.write(connection);
}
