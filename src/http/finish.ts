/** The end of every exchange: what it came to is counted and logged, what it borrowed is given back. Never throws. */
import { ERRORS, type ErrorCode } from "../base/errors.ts";
import { LISTENER, POOL, ROUTE } from "../observability/metrics-table.ts";
import type { GateTicket } from "../pools/pool-gate.ts";
import { endRetry } from "../pools/retry-hold.ts";
import type { Exchange } from "./exchange.ts";
import { releaseHead } from "./heads.ts";

export function finish(exchange: Exchange): void {
  if (exchange.finished) return;
  exchange.finished = true;
  const { context, settings, matched, failure, poolInUse } = exchange;
  const { metrics } = context;
  exchange.totalMs = exchange.nowMs - exchange.startedMs;

  metrics.add(settings.cells + LISTENER.requests, 1);
  metrics.add(settings.cells + LISTENER.bytesIn, exchange.bytesIn);
  metrics.add(settings.cells + LISTENER.bytesOut, exchange.bytesOut);
  if (matched !== undefined) {
    metrics.add(matched.cells + ROUTE.statusClass + Math.floor(exchange.status / 100), 1);
    metrics.observe(matched.cells + ROUTE.duration, exchange.totalMs);
  }
  exchange.sessionInUse?.count();
  if (failure !== undefined) {
    metrics.countReason(failure);
    if (poolInUse !== undefined && exchange.attempts === 0) metrics.add(poolInUse.cells + POOL.refused, 1);
  }
  endRetry(exchange);
  if (exchange.ticket !== undefined) leavePool(exchange, exchange.ticket, failure);
  context.accessLog?.write(exchange);
  releaseHead(exchange.head);
}

/** Gives back what the exchange holds of its pool, and says how the pool did. */
export function leavePool(exchange: Exchange, ticket: GateTicket, failure: ErrorCode | undefined): void {
  exchange.ticket = undefined;
  const { firstByteMs, nowMs, startedMs, attempts } = exchange;
  const isSilent =
    attempts === exchange.attemptsElsewhere || (failure !== undefined && ERRORS[failure].source !== "upstream");
  const failed = failure !== undefined || exchange.status >= 500;
  if (!isSilent) ticket.judge(failed, firstByteMs < 0 ? nowMs - startedMs : firstByteMs, nowMs);
  ticket.giveBack();
}
