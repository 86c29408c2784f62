/** The three ways in which outlier detection compares an endpoint with its pool. */
import { z } from "zod";
import { duration } from "../base/schema.ts";

const volume = (requests: number) => ({
  minimumHosts: z
    .int()
    .min(1)
    .max(10_000)
    .default(5)
    .describe("Endpoints with enough requests that it takes to compare."),
  minimumVolume: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(requests)
    .describe("Requests in the interval that an endpoint must have had."),
});

export const successShape = z
  .union([
    z.literal(false),
    z.strictObject({
      deviations: z
        .number()
        .min(0.1)
        .max(10)
        .default(1.9)
        .describe("Standard deviations below the pool's mean at which an endpoint is ejected."),
      ...volume(100),
    }),
  ])
  .prefault({})
  .describe("Ejects endpoints whose success rate is far below the others'.");

export const failureShape = z
  .union([
    z.literal(false),
    z.strictObject({
      threshold: z
        .number()
        .min(1)
        .max(100)
        .default(85)
        .describe("Percent of failures at which an endpoint is ejected."),
      ...volume(50),
    }),
  ])
  .default(false)
  .describe("Ejects endpoints by their percentage of failures, whatever the others do.");

export const latencyShape = z
  .union([
    z.literal(false),
    z.strictObject({
      factor: z
        .number()
        .min(1.1)
        .max(100)
        .default(3)
        .describe("Times the pool's median at which an endpoint's average latency is ejected."),
      floor: duration().prefault("100ms").describe("Averages up to this are never ejected."),
      ...volume(50),
    }),
  ])
  .default(false)
  .describe("Ejects endpoints that are far slower than the others.");
