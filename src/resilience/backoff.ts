/** How long to wait before a retry. */
import type { Random } from "../base/random.ts";

export interface BackoffOptions {
  /** The most that the first retry waits; doubles with each further one; milliseconds. */
  readonly baseMs: number;
  /** The most that any retry waits; milliseconds. */
  readonly maxMs: number;
}

/** Beyond any cap; keeps the product finite. */
const MAX_DOUBLINGS = 40;

/** The most that retry number `retry` (1 for the first) may wait, in milliseconds. */
export function backoffBoundMs(retry: number, { baseMs, maxMs }: BackoffOptions): number {
  return Math.min(maxMs, baseMs * 2 ** Math.min(MAX_DOUBLINGS, Math.max(0, retry - 1)));
}

/**
 * Exponential backoff with full jitter: anything from 0 to the bound, in milliseconds. Clients that failed together must
 * not come back together, and the even spread over the whole range scatters them best.
 */
export function backoffMs(retry: number, options: BackoffOptions, random: Random): number {
  return random.next() * backoffBoundMs(retry, options);
}
