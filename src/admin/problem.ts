/** Answers of the admin API. */
import type { ProblemView } from "./api-types.ts";

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Not authorized",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  409: "Conflict",
  415: "Unsupported media type",
  503: "Unavailable",
};

export function json(value: unknown, status = 200): Response {
  return new Response(`${JSON.stringify(value)}\n`, {
    status,
    headers: { "Content-Type": "application/json", "Cache-Control": "no-store" },
  });
}

/** A refusal as RFC 9457 has it; `detail` says what to do about it. */
export function problem(status: number, detail: string, headers: Readonly<Record<string, string>> = {}): Response {
  const body: ProblemView = { status, title: TITLES[status] ?? "Error", detail };
  return new Response(`${JSON.stringify(body)}\n`, {
    status,
    headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store", ...headers },
  });
}
