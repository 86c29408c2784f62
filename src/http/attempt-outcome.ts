/** What the end of an attempt says of its endpoint, for those that judge endpoints. */
import { ERRORS } from "../base/errors.ts";
import { type Outcome, outcomeOfStatus } from "../resilience/outcome.ts";
import type { AttemptEnd, Exchange } from "./exchange.ts";

/** `status` is that of the endpoint's answer. Undefined: the end says nothing of the endpoint. */
export function attemptOutcome(exchange: Exchange, end: AttemptEnd, status: number): Outcome | undefined {
  if (end === undefined || end === "unwanted") return outcomeOfStatus(status);
  // How long a client is ready to wait is its own affair: it must not get endpoints ejected by being impatient.
  if (end === "E_REQUEST_TIMEOUT") return isClientsTimeOver(exchange) ? undefined : "timeout";
  if (end === "E_UPSTREAM_STALLED") return "timeout";
  const { retry, source } = ERRORS[end];
  if (retry === "refused-stream" || source !== "upstream") return undefined;
  return retry === "connect-failure" || retry === "timeout" ? retry : "gateway-error";
}

function isClientsTimeOver({ startedMs, clientTimeoutMs, nowMs }: Exchange): boolean {
  return startedMs + clientTimeoutMs <= nowMs;
}
