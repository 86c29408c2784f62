/**
 * Peak EWMA: draws two and takes the one with the smaller latency x (in flight + 1) / weight, where the latency jumps up
 * with a slow answer and comes down slowly.
 * Cost: O(1). Choose it when single endpoints turn slow (pauses, cold caches); needs a steady stream of requests to learn
 * from. Source: Finagle's PeakEwma.
 */
import { z } from "zod";
import { duration } from "../base/schema.ts";
import type { BalancedEndpoint } from "./definition.ts";
import { defineAlgorithm } from "./definition.ts";
import { latencies } from "./latency.ts";
import { bestOfSample } from "./sample.ts";

/** Stands for the latency of an endpoint that has been asked but has not answered yet: enough to keep others off it. */
const UNKNOWN_MS = 140_737_488;
const FAILURE_MS = 10_000;

export const peakEwma = defineAlgorithm({
  summary: "lower peak-sensitive latency of two drawn at random",
  cost: "O(1)",
  keyed: false,
  weighted: true,
  options: z.strictObject({
    decay: duration({ min: 100 }).prefault("10s").describe("How fast a peak is forgotten."),
  }),
  build(endpoints, { decay }, { random, clock }) {
    const seen = latencies(endpoints, decay, true, clock);
    const drawn = Math.min(2, endpoints.length);
    const cost = (endpoint: BalancedEndpoint, now: number): number => {
      const latencyMs = seen.get(endpoint)?.read(now) ?? 0;
      if (latencyMs === 0 && endpoint.active > 0) return UNKNOWN_MS + endpoint.active;
      return (latencyMs * (endpoint.active + 1)) / endpoint.weight;
    };
    return {
      pick(_key, tried) {
        const now = clock.now();
        return bestOfSample(endpoints, drawn, random, tried, (a, b) => cost(a, now) - cost(b, now));
      },
      onRelease(endpoint, latencyMs, failed) {
        seen.get(endpoint)?.observe(failed ? Math.max(latencyMs, FAILURE_MS) : latencyMs, clock.now());
      },
    };
  },
});
