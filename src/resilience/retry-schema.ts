/** Trying again: what of, how often, how soon, and how much of it. */
import { z } from "zod";
import type { FailureKind } from "../base/errors.ts";
import { duration } from "../base/schema.ts";

const FAILURES = [
  "connect-failure",
  "refused-stream",
  "reset",
  "timeout",
  "bad-answer",
] as const satisfies FailureKind[];

/** The statuses of gRPC after OK, in the order of their numbers (grpc.io, status codes). */
const GRPC_STATUSES = [
  "grpc-cancelled",
  "grpc-unknown",
  "grpc-invalid-argument",
  "grpc-deadline-exceeded",
  "grpc-not-found",
  "grpc-already-exists",
  "grpc-permission-denied",
  "grpc-resource-exhausted",
  "grpc-failed-precondition",
  "grpc-aborted",
  "grpc-out-of-range",
  "grpc-unimplemented",
  "grpc-internal",
  "grpc-unavailable",
  "grpc-data-loss",
  "grpc-unauthenticated",
] as const;

/** Without an answer, the first retry of a request costs the endpoints no more than the request would have. */
const USUAL = ["connect-failure", "refused-stream", "reset"] as const;

export const retrySchema = z
  .strictObject({
    attempts: z
      .int()
      .min(0)
      .max(10)
      .default(1)
      .describe("Further tries, on other endpoints while there are any; 0 turns it off."),
    on: z
      .array(z.union([z.enum(FAILURES), z.int().min(400).max(599), z.enum(GRPC_STATUSES)]))
      .default([...USUAL])
      .describe(
        "What is tried again: `connect-failure`, `refused-stream` (HTTP/2: not looked at), `reset` (closed before an answer), `timeout` (no answer in time), `bad-answer` (not valid), statuses such as `503`, and gRPC statuses such as `grpc-unavailable`, by which you say that calls may be repeated.",
      ),
    methods: z
      .array(z.string().regex(/^[A-Z]+$/, "expected a method such as GET"))
      .default(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
      .describe(
        "Methods that may take effect twice. Others are tried again when the endpoint cannot have seen them, or with an `Idempotency-Key`.",
      ),
    perTryTimeout: duration()
      .prefault("0s")
      .describe("From the beginning of a try to the first byte of its answer; 0s leaves it to the route's timeouts."),
    backoff: z
      .strictObject({
        base: duration()
          .prefault("0s")
          .describe("Longest wait before the first retry; doubles with each. 0s: no wait."),
        max: duration().prefault("250ms").describe("Longest wait before any retry."),
      })
      .prefault({})
      .describe("Waits between tries: random between nothing and a bound that doubles."),
    budget: z
      .strictObject({
        percent: z
          .number()
          .min(0)
          .max(100)
          .default(20)
          .describe("Most retries at one time, in percent of the requests that are served or wait."),
        minimum: z.int().min(0).max(100_000).default(3).describe("Retries that are allowed at one time in any case."),
        exempt: z
          .array(z.enum(FAILURES))
          .default([...USUAL])
          .describe("Failures whose first retry does not count: it takes the place of what the endpoint never did."),
      })
      .prefault({})
      .describe("Keeps retries from becoming the load; shared by all workers."),
    header: z
      .boolean()
      .default(false)
      .describe("Tells clients in `X-Evenkeel-Attempts` how many tries their answer took."),
  })
  .describe("Trying again on another endpoint.");

export type RetryConfig = z.output<typeof retrySchema>;

/** What `on` lists, by kind. */
export function retryConditions(on: RetryConfig["on"]): {
  conditions: FailureKind[];
  statuses: number[];
  grpcStatuses: number[];
} {
  const isFailure = (item: RetryConfig["on"][number]): item is FailureKind =>
    (FAILURES as readonly unknown[]).includes(item);
  return {
    conditions: on.filter(isFailure),
    statuses: on.filter((item) => typeof item === "number"),
    grpcStatuses: on.map((item) => (GRPC_STATUSES as readonly unknown[]).indexOf(item) + 1).filter((code) => code > 0),
  };
}
