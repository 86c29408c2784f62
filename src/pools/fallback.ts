import { ERRORS, type ErrorCode } from "../base/errors.ts";

/** Whether what failed so may go to the pool's `fallback`: there was no place for it, or no connection, so no endpoint has seen it. */
export function isForFallback(code: ErrorCode): boolean {
  const { status, source, retry } = ERRORS[code];
  return retry === "connect-failure" || (retry === "never" && source === "internal" && status === 503);
}
