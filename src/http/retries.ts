/** Whether an exchange is tried again: asked when an attempt has failed, or when the head of its answer is there. Cold. */

import { POOL } from "../observability/metrics-table.ts";
import type { Pool } from "../pools/pool.ts";
import type { PoolRetry } from "../pools/pool-retry.ts";
import { endRetry, holdRetry } from "../pools/retry-hold.ts";
import type { Head } from "../protocols/http1/head.ts";
import type { RetryCondition } from "../resilience/retry-policy.ts";
import type { Exchange } from "./exchange.ts";

/**
 * Books another try when the pool's policy and budget allow one: `exchange.retryDelayMs` says how long to wait. It counts
 * from now on, so that those that wait cannot pile up; `endRetry` gives it back.
 */
export function bookRetry(exchange: Exchange, condition: RetryCondition, status: number, grpcStatus: number): boolean {
  const pool = exchange.poolInUse as Pool;
  const { retry } = pool;
  const tries = exchange.attempts - exchange.attemptsElsewhere;
  if (tries > retry.attempts) return false;
  const delayMs = condition === "slow" ? 0 : retry.backoffMs(tries, exchange.context.random);
  const verdict = retry.policy.decide({
    condition,
    status,
    grpcStatus,
    method: exchange.method,
    idempotencyKey: exchange.header("idempotency-key") !== undefined,
    sent: true,
    bodyReplayable: exchange.canReplay,
    answerBegun: exchange.answerBegun,
    tries,
    nextMs: exchange.nowMs + delayMs,
    deadlineMs: exchange.deadlineMs,
  });
  if (verdict !== "retry") return false;
  if (!holdRetry(exchange, pool, condition, tries)) {
    exchange.context.metrics.add(pool.cells + POOL.retriesOverBudget, 1);
    return false;
  }
  exchange.retryDelayMs = delayMs;
  exchange.context.metrics.add(pool.cells + POOL.retries, 1);
  return true;
}

/** Whether an answer is one of those that are tried again, be it possible or not. */
export function asksForRetry({ policy }: PoolRetry, head: Head): boolean {
  return policy.wants(head.status, policy.judgesGrpc ? grpcStatusOf(head) : -1);
}

/** Whether an answer is not passed on, since another try is booked instead. Asked before the client gets any of it. */
export function judgeAnswer(exchange: Exchange, head: Head): boolean {
  const { retry } = exchange.poolInUse as Pool;
  if (!asksForRetry(retry, head)) return false;
  const { policy } = retry;
  const grpcStatus = policy.judgesGrpc ? grpcStatusOf(head) : -1;
  // The try that is over makes room in the budget for the next.
  endRetry(exchange);
  const condition = policy.wants(head.status, -1) ? "status" : "grpc-status";
  return bookRetry(exchange, condition, head.status, grpcStatus);
}

/** Errors of gRPC that come without a message stand in the head ("Trailers-Only"). */
function grpcStatusOf(head: Head): number {
  const text = head.get("grpc-status");
  return text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : -1;
}
