/** Limits that several balancers keep together. */
import { z } from "zod";
import { duration, name } from "../base/schema.ts";
import { redisSchema } from "../redis/schema.ts";

export const sharedLimitsSchema = z
  .strictObject({
    redis: redisSchema("evenkeel:limits").describe("Where balancers tell each other what they have in use."),
    pools: z
      .array(name)
      .min(1)
      .optional()
      .describe("Whose limits are shared; of all pools when not set. The others need the same names for them."),
    interval: duration({ min: 50, max: 10_000 })
      .prefault("250ms")
      .describe("How often each balancer tells what it has in use, and hears of the others."),
    forgetAfter: duration({ min: 1_000, max: 300_000 })
      .prefault("5s")
      .describe("A balancer that was not heard of for so long has nothing in use any more. Four intervals or more."),
    whenUnreachable: z
      .enum(["alone", "split"])
      .default("alone")
      .describe(
        "What limits mean while Redis does not answer: `alone`, each balancer may have all of them, as if it were the only one; `split`, an equal part, by how many there were.",
      ),
  })
  .describe(
    "Keep `maxConnections` of endpoints and `limits` of pools together with other balancers. Nothing waits for it: each decides by what it heard last.",
  );

export type SharedLimitsConfig = z.output<typeof sharedLimitsSchema>;
