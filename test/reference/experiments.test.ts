/** The experiments of docs/experiments.md give what their sources published, and what the page says. */
import { describe, expect, test } from "bun:test";
import { simulate as simulateLatency } from "../../bench/experiments/linkerd-latency.ts";
import { recoverySeconds, simulate as simulateStorm } from "../../bench/experiments/retry-storm.ts";

describe("one slow endpoint among eleven", () => {
  test("round robin loses the share that the slow one gets: 1/11 of half the time", () => {
    const exact = 100 * (1 - (1 / 11) * (30 / 60));
    expect(Math.abs(simulateLatency("round-robin", 1).inTimePercent - exact)).toBeLessThan(0.3);
  });

  test("who counts what is in flight loses far less, who looks at latency nearly nothing", () => {
    expect(simulateLatency("least-connections", 1).inTimePercent).toBeGreaterThan(98.5);
    expect(simulateLatency("power-of-two-choices", 1).inTimePercent).toBeGreaterThan(98.5);
    expect(simulateLatency("peak-ewma", 1).inTimePercent).toBeGreaterThan(99.5);
  });
});

describe("retries after ten slow seconds", () => {
  test("without a budget the storm never ends", () => {
    const storm = simulateStorm("3 retries, no budget", 1);
    expect(recoverySeconds(storm)).toBe(-1);
    expect(storm.tries.at(-1)! / storm.requests.at(-1)!).toBeGreaterThan(3.5);
    expect(storm.good.at(-1)! / storm.requests.at(-1)!).toBeLessThan(0.05);
  });

  test("with either budget, or without retries, all is well again within the minute", () => {
    for (const policy of ["no retries", "3 retries, 20% of active", "3 retries, 20% over 10 s"]) {
      const result = simulateStorm(policy, 1);
      const seconds = recoverySeconds(result);
      expect(seconds).toBeGreaterThanOrEqual(0);
      expect(seconds).toBeLessThan(60);
      const total = (series: Float64Array): number => series.reduce((sum, each) => sum + each, 0);
      expect(total(result.tries) / total(result.requests)).toBeLessThan(1.2);
    }
  });
});
