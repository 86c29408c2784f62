import type { ErrorCode } from "../base/errors.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { isWorthWaiting, reasonForNone, type Waiting } from "./pick-endpoint.ts";
import type { Pool } from "./pool.ts";

/** Whoever needs an endpoint and found none free. */
export interface EndpointSeeker extends Waiting {
  /** When it is refused with E_REQUEST_TIMEOUT, if the queue's own time is not over before. */
  readonly deadlineMs: number;
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
  if (limits?.tryAcquire("pending") === false) {
    seeker.refuse("E_QUEUE_FULL");
    return undefined;
  }
  const waiter = {
    deadlineMs: seeker.deadlineMs,
    tryAgain(): boolean {
      const endpoint = seeker.pick();
      if (endpoint === undefined && mayWait()) return false;
      limits?.release("pending");
      if (endpoint !== undefined) seeker.begin(endpoint);
      else seeker.refuse(reasonForNone(pool.view, seeker));
      return true;
    },
    waitedTooLong(nowMs: number): void {
      limits?.release("pending");
      seeker.refuse(nowMs >= seeker.deadlineMs ? "E_REQUEST_TIMEOUT" : "E_QUEUE_TIMEOUT");
    },
  };
  if (pool.queue.add(waiter)) {
    return () => {
      limits?.release("pending");
      pool.queue.remove(waiter);
    };
  }
  limits?.release("pending");
  seeker.refuse("E_QUEUE_FULL");
  return undefined;
}
