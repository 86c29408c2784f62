import type { ErrorCode } from "../base/errors.ts";
import { PRIORITY_RANK } from "../resilience/load-shedding.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { isWorthWaiting, reasonForNone, type Waiting } from "./pick-endpoint.ts";
import type { Pool } from "./pool.ts";

const NORMAL = PRIORITY_RANK.normal;

/** Whoever needs an endpoint and found none free. */
export interface EndpointSeeker extends Waiting {
  /** When it is refused with E_REQUEST_TIMEOUT, if the queue's own time is not over before. */
  readonly deadlineMs: number;
  /** How important it is, by `PRIORITY_RANK`; like most when not set. */
  readonly rank?: number;
  /** Picks one and counts it as taken. */
  pick(): Endpoint | undefined;
  begin(endpoint: Endpoint): void;
  refuse(code: ErrorCode): void;
}

/**
 * Every endpoint that could take it is full: wait for a place. Returns how to stop waiting; undefined when there is
 * nothing to wait for, and `refuse` has been called.
 */
export function waitForEndpoint(pool: Pool, seeker: EndpointSeeker): (() => void) | undefined {
  const mayWait = (): boolean => isWorthWaiting(pool.view, seeker);
  if (!mayWait()) {
    seeker.refuse(reasonForNone(pool.view, seeker));
    return undefined;
  }
  const limits = pool.gate?.limits;
  const { rank = NORMAL } = seeker;
  const mayBePending = (): boolean => limits?.tryAcquire("pending") !== false;
  if (!mayBePending() && !(pool.queue.displaceFor(rank) && mayBePending())) {
    seeker.refuse("E_QUEUE_FULL");
    return undefined;
  }
  let found: Endpoint | undefined;
  const leave = (code: ErrorCode): void => {
    limits?.release("pending");
    seeker.refuse(code);
  };
  const place = pool.queue.add({
    rank,
    deadlineMs: seeker.deadlineMs,
    tryAgain(): boolean {
      found = seeker.pick();
      return found !== undefined || !mayWait();
    },
    go(): void {
      if (found === undefined) return leave(reasonForNone(pool.view, seeker));
      limits?.release("pending");
      seeker.begin(found);
    },
    waitedTooLong: (nowMs) => leave(nowMs >= seeker.deadlineMs ? "E_REQUEST_TIMEOUT" : "E_QUEUE_TIMEOUT"),
    displaced: () => leave("E_QUEUE_FULL"),
  });
  if (place === undefined) {
    leave("E_QUEUE_FULL");
    return undefined;
  }
  return () => {
    limits?.release("pending");
    pool.queue.remove(place);
  };
}
