/** The whole configuration. Each domain owns its part; this file only puts them together. */
import { z } from "zod";
import { duration, name } from "../base/schema.ts";
import { routeSchema } from "../http/schema.ts";
import { listenerSchema } from "../listeners/schema.ts";
import { accessLogSchema, adminSchema, logSchema } from "../observability/schema.ts";
import { poolSchema } from "../pools/schema.ts";
import { sharedLimitsSchema } from "../sharing/schema.ts";
import { acmeSchema } from "../tls/schema.ts";

export const configSchema = z.strictObject({
  workers: z
    .union([z.literal("auto"), z.int().min(0).max(64)])
    .default("auto")
    .describe("Worker processes: `auto` for one per processor core, `0` to run everything in one process."),
  listeners: z.record(name, listenerSchema).describe("Where clients connect, by name."),
  routes: z
    .array(routeSchema)
    .max(16_000)
    .default([])
    .describe("What goes where. The most specific match wins, whatever the order."),
  pools: z.record(name, poolSchema).default({}).describe("Sets of endpoints, by name."),
  sharedLimits: sharedLimitsSchema.optional(),
  acme: acmeSchema.optional(),
  admin: adminSchema,
  accessLog: accessLogSchema,
  log: logSchema,
  shutdown: z
    .strictObject({
      delay: duration({ max: 3_600_000 })
        .prefault("0s")
        .describe(
          "How long to go on as before after `/readyz` has turned 503, so that a balancer in front notices before connections are closed.",
        ),
      drainTimeout: duration()
        .prefault("30s")
        .describe("How long in-flight exchanges may take to finish when evenkeel stops or a listener goes away."),
    })
    .prefault({})
    .describe("Stopping gracefully."),
  watch: z.boolean().default(false).describe("Reload when the configuration file changes."),
});

export type Config = z.output<typeof configSchema>;
export type ConfigInput = z.input<typeof configSchema>;
