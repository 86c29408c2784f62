/** A pool: interchangeable endpoints with their balancing, health and connection settings. */
import { z } from "zod";
import { balanceSchema, subsetSchema } from "../balancing/schema.ts";
import { duration, fixedAnswer, headerName } from "../base/schema.ts";
import { healthSchema } from "../health/schema.ts";
import { retrySchema } from "../resilience/retry-schema.ts";
import {
  adaptiveConcurrencySchema,
  circuitBreakerSchema,
  codelSchema,
  concurrencyLimitsSchema,
  hedgingSchema,
  outlierDetectionSchema,
  overprovisioningSchema,
  panicSchema,
  slowStartSchema,
} from "../resilience/schema.ts";
import { sessionsSchema } from "../sessions/schema.ts";
import { connectionsSchema, endpointSchema } from "../upstreams/schema.ts";
import { keySchema } from "./key-schema.ts";

export const queueSchema = z
  .strictObject({
    size: z.int().min(0).max(100_000).default(1_024).describe("Requests that may wait per worker; 0 refuses at once."),
    timeout: duration().prefault("5s").describe("How long a request waits before it is refused with 503."),
    codel: codelSchema,
    priorityHeader: headerName
      .toLowerCase()
      .optional()
      .describe(
        "A request header that says `critical`, `high`, `normal` or `low`: who is more important is served first, and takes the place of a lower one when the queue is full. A route's `importance` goes before it.",
      ),
  })
  .describe("Where requests wait while every endpoint has reached its `maxConnections`.");

export const sorrySchema = fixedAnswer(503).describe(
  "What clients get instead of an error of 502, 503 or 504. The log has the reason all the same.",
);

export const poolSchema = z.strictObject({
  balance: balanceSchema,
  key: keySchema.optional().describe("What the hashing algorithms hash; `clientIp` when not set."),
  subset: subsetSchema.optional(),
  endpoints: z.array(endpointSchema).min(1).max(10_000).describe("The endpoints."),
  health: healthSchema
    .optional()
    .describe(
      "Active health check; `false` turns it off and every endpoint counts as healthy. When not set, endpoints are connected to by TCP, or sent an empty datagram if only UDP listeners use the pool.",
    ),
  requires: z
    .array(z.string())
    .max(64)
    .default([])
    .describe(
      "Other pools without which this one is of no use: while one of them has no usable endpoint, nothing is sent to this pool.",
    ),
  connections: connectionsSchema.prefault({}),
  queue: queueSchema.prefault({}),
  retry: retrySchema.prefault({}),
  hedging: hedgingSchema,
  sessions: sessionsSchema.optional(),
  drainTimeout: duration()
    .prefault("30s")
    .describe(
      "How long exchanges and connections may go on with an endpoint that drains or is removed, before they are closed.",
    ),
  slowStart: slowStartSchema,
  outlierDetection: outlierDetectionSchema,
  circuitBreaker: circuitBreakerSchema,
  limits: concurrencyLimitsSchema.optional(),
  adaptiveConcurrency: adaptiveConcurrencySchema,
  overprovisioning: overprovisioningSchema,
  panic: panicSchema,
  fallback: z.string().optional().describe("Another pool, for requests that this one has no endpoint or no room for."),
  sorry: sorrySchema.optional(),
});

export type PoolConfig = z.output<typeof poolSchema>;
