/** Where a Redis or Valkey is, and how long it is waited for. */
import { z } from "zod";
import { duration, oneOrMany } from "../base/schema.ts";

/** `prefix`: what the keys begin with when the configuration does not say. */
export function redisSchema(prefix: string) {
  return z.strictObject({
    url: oneOrMany(
      z
        .string()
        .regex(/^rediss?:\/\/[^\s]+$/, "expected redis://host:port or rediss://host:port for TLS")
        .meta({ examples: ["redis://10.0.0.5:6379", "rediss://user:password@redis.internal:6380/0"] }),
    ).describe("Redis or Valkey, 6.2 or newer; of a cluster one or more nodes, the others are found through them."),
    timeout: duration({ min: 1, max: 5_000 })
      .prefault("50ms")
      .describe("Longest time it is waited for. After that each balancer decides with what it knows itself."),
    prefix: z
      .string()
      .regex(/^[A-Za-z0-9:._-]{1,64}$/, "expected letters, digits and : . _ -")
      .default(prefix)
      .describe("What the keys begin with. Balancers that share have the same."),
    failures: z.int().min(1).max(1_000).default(5).describe("So many failures in a row, and it is left alone..."),
    wait: duration({ min: 100, max: 60_000 }).prefault("1s").describe("...for this long, then it is tried again."),
  });
}

export type RedisConfig = z.output<ReturnType<typeof redisSchema>>;
