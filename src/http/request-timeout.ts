/** `X-Request-Timeout`: how long a client will wait for its answer, and what endpoints are told is left of that. */
import { NEVER } from "../transport/deadlines.ts";

/** In lower case, as heads are searched. */
export const REQUEST_TIMEOUT = "x-request-timeout";

/** Seconds such as `2` and `0.25`, or with a unit, `2s` and `250ms`. Infinity for anything else, nothing and zero included. */
export function requestTimeoutMs(value: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s)?$/.exec(value);
  const timeoutMs = match === null ? 0 : Number(match[1]) * (match[2] === "ms" ? 1 : 1_000);
  return timeoutMs > 0 ? timeoutMs : NEVER;
}

/** What is left, as endpoints are told it: in seconds. */
export function requestTimeout(leftMs: number): string {
  return String(Math.max(1, Math.floor(leftMs)) / 1_000);
}
