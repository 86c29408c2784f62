/** How a pool stays up: what is watched, what is tried again, and what is refused. */
import { z } from "zod";
import { byteSize, duration, headerName } from "../base/schema.ts";
import { failureShape, latencyShape, successShape } from "./comparison-schema.ts";

const count = (least: number, most: number) => z.int().min(least).max(most);
const percent = z.number().min(0).max(100);
const inARow = (what: string) => count(0, 10_000).default(5).describe(`${what} in a row that eject; 0 turns it off.`);

export const outlierDetectionSchema = z
  .union([
    z.literal(false),
    z
      .strictObject({
        enforcing: z.boolean().default(true).describe("`false` only reports what would be ejected."),
        consecutiveServerErrors: inARow("Answers with a 5xx status"),
        consecutiveGatewayErrors: inARow("Answers with 502, 503 or 504"),
        consecutiveConnectFailures: inARow("Failures to connect"),
        consecutiveTimeouts: inARow("Requests without an answer in time"),
        interval: duration({ min: 100 })
          .prefault("10s")
          .describe(
            "How often endpoints are compared with each other; each interval in service also forgives one ejection.",
          ),
        baseEjection: duration({ min: 100 })
          .prefault("30s")
          .describe("Length of the first ejection; the n-th takes n times as long."),
        maxEjection: duration({ min: 100 }).prefault("300s").describe("Longest ejection."),
        ejectionJitter: duration()
          .prefault("3s")
          .describe("Up to this much is added at random, so that endpoints do not return together."),
        maxEjectedPercent: percent
          .default(50)
          .describe("Most endpoints of the pool that may be ejected at one time, in percent."),
        returnOnCheck: z
          .boolean()
          .default(false)
          .describe("An active check that passes ends an ejection. For checks that see what requests see."),
        successRate: successShape,
        failurePercentage: failureShape,
        latency: latencyShape,
      })
      .refine((value) => value.maxEjection >= value.baseEjection, {
        path: ["maxEjection"],
        message: "expected at least baseEjection",
      }),
  ])
  .default(false)
  .describe("Ejects endpoints for a while that fail what they are asked; `{}` turns it on as it is usual.");

export const circuitBreakerSchema = z
  .union([
    z.literal(false),
    z.strictObject({
      scope: z
        .enum(["endpoint", "pool"])
        .default("endpoint")
        .describe("One breaker for each endpoint, or for the pool."),
      consecutiveFailures: count(0, 10_000).default(5).describe("Failures in a row that open it; 0 turns this off."),
      failureRatePercent: percent.default(50).describe("Percent of failures that opens it; 0 turns this off."),
      slowRatePercent: percent.default(50).describe("Percent of slow answers that opens it; 0 turns this off."),
      slowerThan: duration({ min: 1 }).prefault("3s").describe("Answers that take longer are slow."),
      window: duration({ min: 100 }).prefault("10s").describe("The time that the percentages look back over."),
      minimumVolume: count(1, 1_000_000).default(20).describe("Requests in the window before percentages count."),
      openFor: duration({ min: 100 }).prefault("30s").describe("How long it lets nothing pass before it tries."),
      trials: count(1, 1_000).default(3).describe("Requests that pass on trial; all must succeed for it to close."),
    }),
  ])
  .default(false)
  .describe("Stops sending to what fails or is slow, and tries again later.");

const limit = (what: string) =>
  count(0, 10_000_000).default(0).describe(`${what} at one time, over all workers; 0 sets no bound.`);

export const concurrencyLimitsSchema = z
  .strictObject({
    active: limit("Requests that are served or wait"),
    pending: limit("Requests that wait for an endpoint"),
    retries: limit("Retries, whatever the retry budget allows,"),
  })
  .describe("Bounds on what the pool has in use; beyond them requests are refused with 503.");

export const hedgingSchema = z
  .union([
    z.literal(false),
    z
      .strictObject({
        quantilePercent: z
          .number()
          .min(50)
          .max(99.99)
          .default(95)
          .describe("A second request is sent when the first takes longer than this percentage does."),
        minDelay: duration().prefault("5ms").describe("Shortest wait before it."),
        maxDelay: duration().prefault("10s").describe("Longest wait before it."),
        minimumVolume: count(1, 1_000_000).default(100).describe("Latencies that must be known first."),
        window: duration({ min: 1_000 }).prefault("10s").describe("How far back latencies count, up to twice as long."),
      })
      .refine((value) => value.maxDelay >= value.minDelay, {
        path: ["maxDelay"],
        message: "expected at least minDelay",
      }),
  ])
  .default(false)
  .describe(
    "A second request after the same answer, to another endpoint, within the retry budget; the first answer wins.",
  );

export const slowStartSchema = z
  .union([
    z.literal(false),
    z.strictObject({
      window: duration({ min: 1 }).prefault("30s").describe("How long an endpoint takes to its full weight."),
      aggression: z
        .number()
        .min(0.1)
        .max(10)
        .default(1)
        .describe("1 grows evenly, above it fast at first, below it slow at first."),
      minPercent: z.number().min(0).max(100).default(10).describe("Percent of its weight to begin with."),
    }),
  ])
  .default(false)
  .describe("New and recovered endpoints begin with a small part of their traffic; `{}` turns it on as it is usual.");

export const overprovisioningSchema = z
  .number()
  .min(1)
  .max(10)
  .optional()
  .describe(
    "A tier keeps all traffic while its available endpoints times this reach all of them, 1.4 for instance; below that the next tier gets the rest. When not set, a tier is used when the ones before it have nothing left; with `panic` it is 1.4.",
  );

export const panicSchema = z
  .strictObject({
    threshold: percent
      .default(50)
      .describe("Percent of a tier's endpoints; with fewer available, its traffic goes to all of them, well or not."),
    failOpen: z
      .boolean()
      .default(true)
      .describe("Not one endpoint is available: all are tried. `false` refuses requests with 503."),
  })
  .optional()
  .describe(
    "What to do when so few endpoints are available that they could not carry the load. When not set, nothing.",
  );

export const adaptiveConcurrencySchema = z
  .union([
    z.literal(false),
    z
      .strictObject({
        initialLimit: count(1, 100_000).default(20).describe("Requests in flight to begin with."),
        minLimit: count(1, 100_000).default(20).describe("Never fewer."),
        maxLimit: count(1, 100_000).default(1_000).describe("Never more."),
        queueSize: count(1, 1_000).default(4).describe("Requests that may wait at the endpoints."),
        tolerance: z.number().min(1).max(10).default(1.5).describe("Times its usual value that latency may reach."),
        smoothing: z
          .number()
          .min(0.01)
          .max(1)
          .default(0.2)
          .describe("Part of each correction that takes effect at once."),
        window: duration({ min: 10 }).prefault("1s").describe("How often the limit is computed anew."),
        minimumSamples: count(1, 100_000).default(10).describe("Answers that this takes."),
      })
      .refine((value) => value.minLimit <= value.initialLimit && value.initialLimit <= value.maxLimit, {
        path: ["initialLimit"],
        message: "expected a value from minLimit to maxLimit",
      }),
  ])
  .default(false)
  .describe("Finds out from latencies how many requests the pool can work on at one time.");

export const codelSchema = z
  .union([
    z.literal(false),
    z
      .strictObject({
        target: duration({ min: 1 }).prefault("5ms").describe("Waiting this long is always fine."),
        interval: duration({ min: 1 })
          .prefault("100ms")
          .describe("The queue is cut short when it is never empty for this long."),
      })
      .refine((value) => value.interval >= value.target, { path: ["interval"], message: "expected at least target" }),
  ])
  .default(false)
  .describe("Cuts a standing queue short, newest first while it lasts.");

export const loadSheddingSchema = z
  .union([
    z.literal(false),
    z
      .strictObject({
        delayFrom: duration({ min: 1 }).prefault("100ms").describe("Lag of the event loop at which shedding begins."),
        delayFull: duration({ min: 2 }).prefault("500ms").describe("Lag at which only critical requests pass."),
        memoryFrom: byteSize().prefault("0B").describe("Memory of a worker at which shedding begins."),
        memoryFull: byteSize().prefault("0B").describe("Memory at which only critical requests pass; 0B turns it off."),
        priorityHeader: headerName
          .toLowerCase()
          .optional()
          .describe(
            "A request header that says `critical`, `high`, `normal` or `low`; a route's `importance` goes before it. Without either all are `normal`.",
          ),
        recovery: duration({ min: 1 }).prefault("5s").describe("Time that it takes to let everything pass again."),
      })
      .refine((value) => value.delayFull > value.delayFrom, {
        path: ["delayFull"],
        message: "expected more than delayFrom",
      })
      .refine((value) => value.memoryFull === 0 || value.memoryFull > value.memoryFrom, {
        path: ["memoryFull"],
        message: "expected more than memoryFrom",
      }),
  ])
  .default(false)
  .describe("Refuses the least important requests when the balancer itself is overloaded.");

export type OutlierDetectionConfig = z.output<typeof outlierDetectionSchema>;
export type CircuitBreakerConfig = z.output<typeof circuitBreakerSchema>;
export type HedgingConfig = z.output<typeof hedgingSchema>;
export type SlowStartConfig = z.output<typeof slowStartSchema>;
export type AdaptiveConcurrencyConfig = z.output<typeof adaptiveConcurrencySchema>;
export type CodelConfig = z.output<typeof codelSchema>;
export type LoadSheddingConfig = z.output<typeof loadSheddingSchema>;
