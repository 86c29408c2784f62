/** How an attempt on an endpoint ended, as the policies that judge endpoints tell apart. */

/**
 * `server-error` is a 5xx that the endpoint itself made, `gateway-error` one of 502, 503 and 504. A connection that was not
 * established, in time or at all, is a `connect-failure`; no answer in time on an established one is a `timeout`.
 */
export type Outcome = "success" | "server-error" | "gateway-error" | "connect-failure" | "timeout";

/** The outcome that a response status stands for. The client's own errors (4xx) are not the endpoint's failure. */
export function outcomeOfStatus(status: number): Outcome {
  if (status < 500) return "success";
  return status === 502 || status === 503 || status === 504 ? "gateway-error" : "server-error";
}
