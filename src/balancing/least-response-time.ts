/**
 * Least response time: the smallest of average latency x (in flight + 1) / weight, over all endpoints.
 * Cost: O(n). Choose it for endpoints whose speed differs or changes; not for very many endpoints (peak-ewma draws two).
 * A failed attempt counts as slow, so that an endpoint that fails fast does not look attractive.
 */
import { z } from "zod";
import { duration } from "../base/schema.ts";
import type { BalancedEndpoint } from "./definition.ts";
import { defineAlgorithm } from "./definition.ts";
import { latencies } from "./latency.ts";
import { bestOfAll } from "./sample.ts";

/** A failure is taken for an answer this slow. */
const FAILURE_MS = 10_000;

export const leastResponseTime = defineAlgorithm({
  summary: "lowest average latency times load",
  cost: "O(n)",
  keyed: false,
  weighted: true,
  options: z.strictObject({
    decay: duration({ min: 100 }).prefault("10s").describe("How fast old answers are forgotten."),
  }),
  build(endpoints, { decay }, { random, clock }) {
    const seen = latencies(endpoints, decay, false, clock);
    const cost = (endpoint: BalancedEndpoint, now: number): number =>
      (Math.max(0.01, seen.get(endpoint)?.read(now) ?? 0) * (endpoint.active + 1)) / endpoint.weight;
    return {
      pick(_key, tried) {
        const now = clock.now();
        return bestOfAll(endpoints, random, tried, (a, b) => cost(a, now) - cost(b, now));
      },
      onRelease(endpoint, latencyMs, failed) {
        seen.get(endpoint)?.observe(failed ? Math.max(latencyMs, FAILURE_MS) : latencyMs, clock.now());
      },
    };
  },
});
