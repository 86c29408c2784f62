/** A route: what it matches, what happens to it, and within which limits. */
import { z } from "zod";
import { byteSize, duration, name, oneOrMany } from "../base/schema.ts";
import { headerEditsSchema, rewriteSchema } from "../filters/schema.ts";
import { keySchema } from "../pools/key-schema.ts";
import { PRIORITIES } from "../resilience/load-shedding.ts";
import { matchSchema, redirectSchema, respondSchema } from "../routing/schema.ts";

export const splitSchema = z
  .strictObject({
    key: keySchema
      .optional()
      .describe(
        "Requests with the same key go to the same pool. Without it, or when a request has no such key, each request is drawn anew.",
      ),
    pools: z
      .array(
        z.strictObject({
          pool: z.string().describe("Name of a pool."),
          weight: z.int().min(0).max(1_000_000).describe("Share relative to the others."),
        }),
      )
      .min(1)
      .max(64),
  })
  .describe("Share the traffic between pools, for canaries and A/B tests.");

export const timeoutsSchema = z
  .strictObject({
    request: duration()
      .prefault("0s")
      .describe(
        "The whole exchange, from the request being complete to the last byte of the answer, with waiting, connecting and retries; 0 for no limit, as downloads and event streams need it. Does not apply once a connection is upgraded.",
      ),
    fromClient: z
      .boolean()
      .default(false)
      .describe(
        "Clients may ask for less time in `X-Request-Timeout`: seconds such as `2.5`, or `250ms`. It never means more; what is not valid is ignored. Endpoints are told what is left of it.",
      ),
    toEndpoint: z
      .boolean()
      .default(false)
      .describe("Endpoints are told in `X-Request-Timeout` what is left of the time, in seconds, whoever has set it."),
    response: duration({ min: 1 })
      .prefault("30s")
      .describe("From the request being sent to the first byte of the answer."),
    idle: duration({ min: 1 }).prefault("60s").describe("Longest silence in the middle of a body."),
    tunnel: duration({ min: 1 })
      .prefault("1h")
      .describe("Longest silence on an upgraded connection such as a WebSocket."),
  })
  .describe("How long the parts of an exchange may take.");

export const routeSchema = z.strictObject({
  name: name.optional().describe("Shown in logs and metrics; `route-1`, `route-2`... when not set."),
  listeners: oneOrMany(name).optional().describe("Listeners it holds for; all HTTP listeners when not set."),
  match: matchSchema.prefault({}),
  priority: z
    .int()
    .min(-1_000)
    .max(1_000)
    .default(0)
    .describe("Higher goes first; among equals the most specific match, then the order in the file."),
  pool: z.string().optional().describe("Send it to this pool."),
  split: splitSchema.optional(),
  redirect: redirectSchema.optional(),
  respond: respondSchema.optional(),
  requestHeaders: headerEditsSchema.optional().describe("Changes to the headers that the endpoint sees."),
  responseHeaders: headerEditsSchema.optional().describe("Changes to the headers that the client sees."),
  rewrite: rewriteSchema.optional(),
  timeouts: timeoutsSchema.prefault({}),
  maxBodySize: byteSize().prefault("10MiB").describe("Largest request body, else 413; 0 for no limit."),
  importance: z
    .enum(PRIORITIES)
    .optional()
    .describe(
      "How important its requests are where some must wait or be refused: in the queues of pools, and when the balancer is overloaded. Goes before what a header says.",
    ),
  upgrade: z.boolean().default(true).describe("Whether WebSocket and other upgrades are passed on."),
});

export type RouteConfig = z.output<typeof routeSchema>;
export type TimeoutsConfig = z.output<typeof timeoutsSchema>;
