import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AdaptiveConcurrency, type AdaptiveConcurrencyOptions, gradientStep } from "./adaptive-concurrency.ts";
import { LocalUsageCounters } from "./usage-counters.ts";

const usual: AdaptiveConcurrencyOptions = {
  initialLimit: 20,
  minLimit: 20,
  maxLimit: 200,
  queueSize: 4,
  tolerance: 1.5,
  smoothing: 0.2,
  windowMs: 1_000,
  minimumSamples: 10,
};

function adaptive(options: Partial<AdaptiveConcurrencyOptions> = {}): AdaptiveConcurrency {
  return new AdaptiveConcurrency(new LocalUsageCounters(1), 0, { ...usual, ...options }, 0);
}

/** Windows in which as many requests as may be are in flight, each answered after `latencyMs` of how many there are. */
function run(limiter: AdaptiveConcurrency, windows: number, startMs: number, latencyMs: (inFlight: number) => number) {
  for (let window = 1; window <= windows; window++) {
    let acquired = 0;
    while (limiter.tryAcquire()) acquired++;
    const nowMs = startMs + window * 1_000;
    for (let count = 0; count < acquired; count++)
      limiter.release(latencyMs(acquired), nowMs - (count < acquired - 1 ? 1 : 0));
  }
}

test("published steps from 100 with a usual latency of 10 ms", () => {
  const steps = [10, 15, 20, 40].map((shortMs) => gradientStep(100, 10, shortMs, usual));
  expect(steps.map((step) => Number(step.toFixed(4)))).toEqual([100.8, 100.8, 95.8, 90.8]);
});

test("steps stay within the bounds", () => {
  expect(gradientStep(200, 10, 10, usual)).toBe(200);
  expect(gradientStep(20, 10, 1_000, usual)).toBe(20);
});

describe("a limiter", () => {
  test("refuses beyond the limit and takes again what was given back", () => {
    const limiter = adaptive();
    for (let count = 0; count < 20; count++) expect(limiter.tryAcquire()).toBeTrue();
    expect(limiter.tryAcquire()).toBeFalse();
    limiter.cancel();
    expect(limiter.tryAcquire()).toBeTrue();
    expect(limiter.inFlight).toBe(20);
  });

  test("grows while latency stays what it is", () => {
    const limiter = adaptive();
    run(limiter, 300, 0, () => 10);
    expect(limiter.limit).toBe(200);
    expect(limiter.inFlight).toBe(0);
  });

  test("stays near the capacity of endpoints that queue beyond it", () => {
    const limiter = adaptive({ maxLimit: 1_000 });
    // 50 at once take 10 ms each; more than that wait for each other.
    run(limiter, 400, 0, (inFlight) => 10 * Math.max(1, inFlight / 50));
    expect(limiter.limit).toBeGreaterThan(50);
    expect(limiter.limit).toBeLessThan(150);
  });

  test("shrinks when the endpoints turn slow, and recovers with them", () => {
    const limiter = adaptive();
    run(limiter, 100, 0, () => 10);
    const before = limiter.limit;
    run(limiter, 30, 100_000, () => 100);
    const during = limiter.limit;
    expect(during).toBeLessThan(before / 2);
    run(limiter, 200, 130_000, () => 10);
    expect(limiter.limit).toBeGreaterThan(during * 2);
  });

  test("learns nothing from idleness or from too few answers", () => {
    const limiter = adaptive();
    for (let second = 1; second < 50; second++) {
      limiter.tryAcquire();
      limiter.release(second < 25 ? 10 : 10_000, second * 1_000);
    }
    expect(limiter.limit).toBe(20);
  });

  test("survives latencies of zero", () => {
    const limiter = adaptive();
    run(limiter, 20, 0, () => 0);
    run(limiter, 20, 20_000, () => 5);
    expect(Number.isFinite(limiter.limit)).toBeTrue();
  });
});

test("property: the limit never leaves its bounds and never becomes NaN", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { maxLength: 40 }), (latencies) => {
      const limiter = adaptive();
      for (const [index, latency] of latencies.entries()) {
        run(limiter, 1, index * 1_000, () => latency);
        expect(limiter.limit).toBeGreaterThanOrEqual(20);
        expect(limiter.limit).toBeLessThanOrEqual(200);
      }
    }),
    { numRuns: 50 },
  );
});
