/** When an endpoint that goes up and down all the time is held back. */
import { z } from "zod";
import { duration } from "../base/schema.ts";
import type { FlapDampingOptions } from "./flap-damping.ts";

export const flapDampingSchema = z
  .union([
    z.literal(false),
    z
      .strictObject({
        halfLife: duration({ min: 1_000 }).prefault("60s").describe("Time in which the memory of a failure halves."),
        suppressAt: z.number().min(1).max(1_000).default(3).describe("Held back after more than this many failures."),
        reuseAt: z
          .number()
          .min(0.1)
          .max(1_000)
          .default(1)
          .describe("Trusted again when fewer than this many are left."),
        maxSuppress: duration({ min: 1_000 }).prefault("5m").describe("Longest time that it is held back."),
      })
      .refine((value) => value.reuseAt < value.suppressAt, {
        path: ["reuseAt"],
        message: "expected less than suppressAt",
      })
      .refine((value) => value.reuseAt * 2 ** (value.maxSuppress / value.halfLife) > value.suppressAt, {
        path: ["maxSuppress"],
        message: "too short to ever hold an endpoint back; expected more half-lives",
      }),
  ])
  .default(false)
  .describe("Keeps endpoints out for longer that go up and down all the time; `{}` turns it on as it is usual.");

export type FlapDampingConfig = z.output<typeof flapDampingSchema>;

export function flapDampingOptions(config: Exclude<FlapDampingConfig, false>): FlapDampingOptions {
  const { halfLife, suppressAt, reuseAt, maxSuppress } = config;
  return { halfLifeMs: halfLife, suppressAt, reuseAt, maxSuppressMs: maxSuppress };
}
