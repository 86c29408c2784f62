import type { ErrorCode } from "../base/errors.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { hasFullEndpoint } from "./pick-endpoint.ts";
import type { Pool } from "./pool.ts";

/** Whoever needs an endpoint and found none free. */
export interface EndpointSeeker {
  /** When it is refused with E_REQUEST_TIMEOUT, if the queue's own time is not over before. */
  readonly deadlineMs: number;
  /** The endpoint of its session, if it has one: also waited for while it drains. */
  readonly preferred?: Endpoint | undefined;
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
  const mayWait = (): boolean => hasFullEndpoint(pool.view) || seeker.preferred?.fullForSessions === true;
  if (!mayWait()) {
    seeker.refuse("E_NO_ENDPOINT");
    return undefined;
  }
  const waiter = {
    deadlineMs: seeker.deadlineMs,
    tryAgain(): boolean {
      const endpoint = seeker.pick();
      if (endpoint !== undefined) seeker.begin(endpoint);
      else if (mayWait()) return false;
      else seeker.refuse("E_NO_ENDPOINT");
      return true;
    },
    waitedTooLong: (nowMs: number) =>
      seeker.refuse(nowMs >= seeker.deadlineMs ? "E_REQUEST_TIMEOUT" : "E_QUEUE_TIMEOUT"),
  };
  if (pool.queue.add(waiter)) return () => pool.queue.remove(waiter);
  seeker.refuse("E_QUEUE_FULL");
  return undefined;
}
