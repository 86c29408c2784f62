/**
 * The life of a request, in the order it happens: match a route, run its filters, act; for a pool: pick an endpoint, send,
 * and try again elsewhere when that is safe. Start reading here. Nothing waits: what has to is called back (Attempt).
 */
import { ERRORS, type ErrorCode } from "../base/errors.ts";
import { POOL } from "../observability/metrics-table.ts";
import { isForFallback } from "../pools/fallback.ts";
import { pick } from "../pools/pick.ts";
import type { Pool } from "../pools/pool.ts";
import { endRetry } from "../pools/retry-hold.ts";
import { waitForEndpoint } from "../pools/wait-for-endpoint.ts";
import { PRIORITY_RANK } from "../resilience/load-shedding.ts";
import { AMBIGUOUS } from "../routing/router.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { Attempt } from "./attempt.ts";
import { ExchangeRequestEdits } from "./edits.ts";
import type { AttemptEnd, Exchange } from "./exchange.ts";
import { finish, leavePool } from "./finish.ts";
import { dropReplacedHeaders } from "./forward-request.ts";
import { Hedge } from "./hedge.ts";
import { priorityOf } from "./priority.ts";
import { keyOf } from "./request-key.ts";
import { respondToChallenge, respondWithError, respondWithFixed, respondWithRedirect } from "./respond.ts";
import { bookRetry } from "./retries.ts";
import { findSession } from "./session.ts";
import { isShed } from "./shedding.ts";
import type { Route } from "./snapshot.ts";

/** The phases of an exchange, in order. docs/request-lifecycle.md describes each of them. */
export const PHASES = ["match", "filter", "act", "pick", "send", "relay", "retry", "finish"] as const;

export function handleExchange(exchange: Exchange): void {
  if (exchange.context.challenges.openHttp > 0 && respondToChallenge(exchange)) return complete(exchange);
  const route = exchange.settings.router.match(exchange);
  if (route === undefined) return refuse(exchange, "E_NO_ROUTE");
  if (route === AMBIGUOUS) return refuse(exchange, "E_AMBIGUOUS_PATH");
  exchange.matched = route;
  const { shedding } = exchange.settings;
  if (shedding !== undefined && isShed(exchange, route.importance, shedding)) return refuse(exchange, "E_OVERLOADED");

  exchange.body.limit = route.maxBodySize;
  if (exchange.body.isTooLarge) return refuse(exchange, "E_BODY_TOO_LARGE");

  const refusal = runRequestFilters(exchange, route);
  if (refusal !== undefined) return refuse(exchange, refusal);

  const { action } = route;
  switch (action.kind) {
    case "respond":
      respondWithFixed(exchange, action);
      return complete(exchange);
    case "redirect":
      respondWithRedirect(exchange, action.status, action.location(exchange));
      return complete(exchange);
    case "split":
      return sendToPool(exchange, route, action.choose(exchange));
    case "pool":
      return sendToPool(exchange, route, action.pool);
  }
}

function runRequestFilters(exchange: Exchange, route: Route): ErrorCode | undefined {
  if (route.requestFilters === null) return undefined;
  const edits = new ExchangeRequestEdits(exchange);
  for (const filter of route.requestFilters) {
    const verdict = filter.onRequest?.(exchange, edits);
    if (verdict !== undefined) return verdict.code;
  }
  return undefined;
}

function sendToPool(exchange: Exchange, route: Route, pool: Pool): void {
  const { head } = exchange;
  exchange.upgrade = route.upgrade && head.connectionUpgrade && isUpgradePassedOn(exchange);
  dropReplacedHeaders(exchange);
  begin(exchange, route, pool);
}

function begin(exchange: Exchange, route: Route, pool: Pool): void {
  exchange.poolInUse = pool;
  exchange.key = pool.key === undefined ? 0 : keyOf(pool.key, exchange);
  const refusal = enter(exchange, pool);
  if (refusal !== undefined) return fallBack(exchange, refusal);
  if (pool.sessions === undefined) attempt(exchange, route, pool);
  else findSession(exchange, pool, pool.sessions, () => attempt(exchange, route, pool));
}

/** The pool cannot serve it: another one may, where that is set and nothing of the request has reached an endpoint. */
function fallBack(exchange: Exchange, code: ErrorCode): void {
  const pool = exchange.poolInUse as Pool;
  const { fallback } = pool;
  if (fallback === undefined || !isForFallback(code) || !exchange.canReplay) return refuse(exchange, code);
  // Elsewhere nobody knows what it is about.
  if (exchange.sessionInUse?.isBound === true) return refuse(exchange, code);
  endRetry(exchange);
  if (exchange.ticket !== undefined) leavePool(exchange, exchange.ticket, code);
  exchange.context.metrics.add(pool.cells + POOL.fellBack, 1);
  exchange.poolAtFirst ??= pool;
  exchange.attemptsElsewhere = exchange.attempts;
  exchange.tried = undefined;
  exchange.sessionInUse?.count();
  exchange.sessionInUse = undefined;
  begin(exchange, exchange.matched as Route, fallback);
}

/** Past the pool's own circuit and limits, where it has any. */
function enter(exchange: Exchange, pool: Pool): ErrorCode | undefined {
  if (pool.gate === undefined) return undefined;
  const entered = pool.gate.enter(exchange.nowMs);
  if (typeof entered === "string") return entered;
  exchange.ticket = entered;
  return undefined;
}

/** One try. Comes back here from `attemptEnded`, and from the queue. */
function attempt(exchange: Exchange, route: Route, pool: Pool): void {
  if (exchange.sessionInUse?.lost === true) return refuse(exchange, "E_SESSION_ENDPOINT");
  const endpoint = pickUntried(exchange, pool);
  if (endpoint === undefined) return waitOrRefuse(exchange, route, pool);
  send(exchange, route, pool, endpoint);
}

/** Never the same endpoint while another is left; but a pool of one is tried again on a fresh connection. */
function pickUntried(exchange: Exchange, pool: Pool): Endpoint | undefined {
  const { tried } = exchange;
  const endpoint = pick(exchange, pool, tried);
  return endpoint === undefined && tried !== undefined ? pick(exchange, pool, undefined) : endpoint;
}

function send(exchange: Exchange, route: Route, pool: Pool, endpoint: Endpoint): void {
  exchange.attempts++;
  exchange.lastEndpoint = endpoint.id;
  exchange.sessionInUse?.goesTo(endpoint);
  const isFresh = exchange.attempts > 1;
  if (pool.hedging !== undefined && Hedge.isFor(exchange))
    return new Hedge(exchange, route, pool, pool.hedging, endpoint, attemptEnded).start(isFresh);
  const running = new Attempt(exchange, route, pool, endpoint, attemptEnded, undefined);
  exchange.attempt = running;
  running.start(isFresh);
}

/** Every endpoint that could take it is full: wait for a place. Otherwise there is none to wait for. */
function waitOrRefuse(exchange: Exchange, route: Route, pool: Pool): void {
  exchange.client.pauseBody();
  exchange.stopWaiting = waitForEndpoint(pool, {
    deadlineMs: exchange.deadlineMs,
    rank: PRIORITY_RANK[priorityOf(exchange, route.importance, pool.priorityHeader)],
    get preferred() {
      return exchange.sessionInUse?.preferred;
    },
    get isBound() {
      return exchange.sessionInUse?.isBound === true;
    },
    get nowMs() {
      return exchange.nowMs;
    },
    pick() {
      exchange.nowMs = exchange.context.clock.now();
      return pickUntried(exchange, pool);
    },
    begin(endpoint) {
      exchange.stopWaiting = undefined;
      send(exchange, route, pool, endpoint);
    },
    refuse(code) {
      exchange.nowMs = exchange.context.clock.now();
      exchange.stopWaiting = undefined;
      fallBack(exchange, code);
    },
  });
  if (exchange.stopWaiting !== undefined) exchange.context.metrics.add(pool.cells + POOL.queued, 1);
}

function attemptEnded(exchange: Exchange, ended: Attempt, end: AttemptEnd): void {
  const pool = exchange.poolInUse as Pool;
  if (ended.watch?.goesOnWithout(ended) !== true) goOn(exchange, pool, ended.endpoint, end);
  // Its place on the endpoint is free now.
  if (pool.queue.length > 0) pool.queue.wake();
}

function goOn(exchange: Exchange, pool: Pool, endpoint: Endpoint, end: AttemptEnd): void {
  exchange.attempt = undefined;
  if (end === undefined) complete(exchange);
  else if (end === "unwanted" || mayTryAgain(exchange, end)) tryAgain(exchange, pool, endpoint);
  else fallBack(exchange, end);
}

/** Only when the client has seen nothing, the request is still at hand, and sending it twice does no harm. */
function mayTryAgain(exchange: Exchange, failure: ErrorCode): boolean {
  endRetry(exchange);
  const condition = ERRORS[failure].retry;
  return condition !== "never" && bookRetry(exchange, condition, 0, -1);
}

/** A retry is booked: now, or after its backoff. */
function tryAgain(exchange: Exchange, pool: Pool, failed: Endpoint): void {
  const route = exchange.matched as Route;
  exchange.tried = exchange.tried === undefined ? [failed] : [...exchange.tried, failed];
  if (exchange.retryDelayMs === 0) return attempt(exchange, route, pool);
  const { clock, timers } = exchange.context;
  exchange.client.pauseBody();
  const timer = timers.after(exchange.retryDelayMs, () => {
    exchange.stopWaiting = undefined;
    exchange.nowMs = clock.now();
    attempt(exchange, route, pool);
  });
  exchange.stopWaiting = () => timer.stop();
}

/** h2c is never offered to endpoints this way, and an upgrade has no body (both have been used to smuggle requests). */
function isUpgradePassedOn(exchange: Exchange): boolean {
  const { head, body } = exchange;
  if (head.upgradeField < 0 || !body.complete || body.received > 0 || head.minorVersion === 0) return false;
  return (
    /^[A-Za-z0-9!#$%&'*+.^_`|~/-]+$/.test(head.value(head.upgradeField)) && !/^h2/i.test(head.value(head.upgradeField))
  );
}

/** Ends an exchange with an error: as an answer while that is possible, else by breaking the answer off. */
export function refuse(exchange: Exchange, code: ErrorCode): void {
  if (exchange.finished) return;
  exchange.failure = code;
  if (exchange.answerBegun || ERRORS[code].status === 0) {
    finish(exchange);
    exchange.client.abort();
  } else {
    respondWithError(exchange, code);
    complete(exchange);
  }
}

/** The client is gone: whatever is still being done for it stops. */
export function abandon(exchange: Exchange, code: ErrorCode): void {
  if (exchange.finished) return;
  exchange.nowMs = exchange.context.clock.now();
  exchange.stopWaiting?.();
  exchange.stopWaiting = undefined;
  const { attempt: running, poolInUse } = exchange;
  exchange.attempt = undefined;
  exchange.failure = code;
  running?.cancel();
  finish(exchange);
  if (poolInUse !== undefined && poolInUse.queue.length > 0) poolInUse.queue.wake();
}

/** Ends an exchange whose request turned out wrong while its body was arriving. */
export function breakOff(exchange: Exchange, code: ErrorCode): void {
  if (exchange.finished) return;
  exchange.nowMs = exchange.context.clock.now();
  exchange.stopWaiting?.();
  exchange.stopWaiting = undefined;
  const { attempt: running } = exchange;
  exchange.attempt = undefined;
  running?.cancel();
  refuse(exchange, code);
}

function complete(exchange: Exchange): void {
  finish(exchange);
  exchange.client.answered();
}
