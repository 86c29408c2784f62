/**
 * The life of a TCP connection, in the order it happens: read the hello if a route asks for it, match a route, pick an
 * endpoint, connect (elsewhere when that fails: the client has seen nothing yet), relay, finish. Start reading here.
 */
import { ERRORS, type ErrorCode } from "../base/errors.ts";
import { hashString } from "../base/hash.ts";
import { ENDPOINT, LISTENER, POOL, ROUTE } from "../observability/metrics-table.ts";
import { pickEndpoint } from "../pools/pick-endpoint.ts";
import type { Pool } from "../pools/pool.ts";
import { waitForEndpoint } from "../pools/wait-for-endpoint.ts";
import { AMBIGUOUS } from "../routing/router.ts";
import { NEVER } from "../transport/deadlines.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { TcpExchange } from "./tcp-exchange.ts";
import { TcpUpstream } from "./upstream.ts";

/** Everything that routes need is known. */
export function handleConnection(connection: TcpExchange): void {
  const route = connection.settings.router.match(connection.view);
  if (route === undefined || route === AMBIGUOUS) return refuse(connection, "E_NO_ROUTE");
  connection.matched = route;
  const pool = route.choose(connection.view);
  connection.poolInUse = pool;
  connection.key = keyOf(pool, connection.view.clientIp);
  attempt(connection, pool);
}

function keyOf(pool: Pool, clientIp: string): number {
  const { key } = pool;
  if (key === undefined) return 0;
  return hashString(typeof key === "object" && "constant" in key ? key.constant : clientIp);
}

function attempt(connection: TcpExchange, pool: Pool): void {
  const endpoint = pick(connection, pool);
  if (endpoint !== undefined) return connect(connection, endpoint);
  connection.stopWaiting = waitForEndpoint(pool, {
    deadlineMs: NEVER,
    pick: () => pick(connection, pool),
    begin(free) {
      connection.stopWaiting = undefined;
      connect(connection, free);
    },
    refuse(code) {
      connection.stopWaiting = undefined;
      refuse(connection, code);
    },
  });
  if (connection.stopWaiting !== undefined) connection.context.metrics.add(pool.cells + POOL.queued, 1);
}

function pick(connection: TcpExchange, pool: Pool): Endpoint | undefined {
  return pickEndpoint(pool.view, connection.key, connection.tried);
}

function connect(connection: TcpExchange, endpoint: Endpoint): void {
  const { metrics, sweep, clock } = connection.context;
  connection.attempts++;
  connection.endpoint = endpoint.id;
  connection.connectStartedMs = clock.now();
  metrics.add(endpoint.cells + ENDPOINT.attempts, 1);
  const upstream = new TcpUpstream(endpoint, connection, (gone) => sweep.remove(gone));
  connection.upstream = upstream;
  upstream.dial();
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
  const other = connection.attempts <= pool.retry.attempts ? pick(connection, pool) : undefined;
  if (other === undefined) refuse(connection, code);
  else {
    metrics.add(pool.cells + POOL.retries, 1);
    connect(connection, other);
  }
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
  if (failed && connection.connectMs < 0) pool.view.guards?.get(endpoint)?.noted("connect-failure");
  endpoint.release();
  if (pool.queue.length > 0) pool.queue.wake();
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
