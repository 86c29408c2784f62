import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../base/random.ts";
import { HedgeDelay, type HedgeOptions } from "./hedge-delay.ts";
import { LatencyQuantile } from "./latency-quantile.ts";

const usual: HedgeOptions = {
  quantilePercent: 95,
  minDelayMs: 1,
  maxDelayMs: 10_000,
  minimumVolume: 100,
  windowMs: 10_000,
};

describe("the quantile", () => {
  test("property: within 5% of the exact one", () => {
    const latencies = fc.array(fc.double({ min: 0.11, max: 50_000, noNaN: true }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(latencies, fc.constantFrom(0, 0.5, 0.9, 0.95, 0.99, 1), (values, quantile) => {
        const recent = new LatencyQuantile(1_000, 0);
        for (const value of values) recent.observe(value, 0);
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(quantile * sorted.length)) - 1]!;
        expect(Math.abs(recent.read(quantile, 0) / exact - 1)).toBeLessThan(0.051);
      }),
    );
  });

  test("forgets after one to two windows", () => {
    const recent = new LatencyQuantile(1_000, 0);
    for (let count = 0; count < 10; count++) recent.observe(500, 900);
    recent.observe(5, 1_100);
    expect(recent.read(0.5, 1_100)).toBeCloseTo(500, -2);
    expect(recent.count(1_999)).toBe(11);
    expect(recent.count(2_100)).toBe(1);
    expect(recent.read(0.5, 2_100)).toBeLessThan(6);
    expect(recent.count(99_000)).toBe(0);
    expect(recent.read(0.5, 99_000)).toBe(0);
  });

  test("takes the absurd without harm", () => {
    const recent = new LatencyQuantile(1_000, 0);
    for (const value of [0, -1, Number.NaN, 1e300]) recent.observe(value, 0);
    expect(recent.count(0)).toBe(4);
    expect(recent.read(0.5, 0)).toBeLessThan(0.2);
    expect(recent.read(1, 0)).toBeGreaterThan(10_000_000);
  });
});

describe("the delay", () => {
  test("is the p95 of what was seen, once there is enough of it", () => {
    const hedge = new HedgeDelay(usual, 0);
    const random = seededRandom(3);
    for (let count = 0; count < 99; count++) hedge.observe(random.next() * 100, 0);
    expect(hedge.delayMs(0)).toBe(-1);
    for (let count = 0; count < 2_000; count++) hedge.observe(random.next() * 100, 50);
    expect(hedge.delayMs(99)).toBe(-1);
    expect(hedge.delayMs(100)).toBeGreaterThan(90);
    expect(hedge.delayMs(100)).toBeLessThan(100);
  });

  test("follows a change, and stops when traffic does", () => {
    const hedge = new HedgeDelay(usual, 0);
    for (let nowMs = 0; nowMs < 30_000; nowMs += 10) hedge.observe(20, nowMs);
    expect(hedge.delayMs(30_000)).toBeCloseTo(20, -1);
    for (let nowMs = 30_000; nowMs < 60_000; nowMs += 10) hedge.observe(200, nowMs);
    expect(hedge.delayMs(60_000)).toBeGreaterThan(190);
    expect(hedge.delayMs(90_000)).toBe(-1);
  });

  test("stays within its bounds", () => {
    const hedge = new HedgeDelay({ ...usual, minDelayMs: 10, maxDelayMs: 50, minimumVolume: 1 }, 0);
    hedge.observe(1, 0);
    expect(hedge.delayMs(0)).toBe(10);
    for (let count = 0; count < 100; count++) hedge.observe(900, 0);
    expect(hedge.delayMs(100)).toBe(50);
  });

  test("doubles one request in twenty", () => {
    const hedge = new HedgeDelay(usual, 0);
    const random = seededRandom(11);
    let hedged = 0;
    for (let count = 0; count < 50_000; count++) {
      const latencyMs = 10 - 40 * Math.log(1 - random.next());
      const delayMs = hedge.delayMs(count);
      if (delayMs >= 0 && latencyMs > delayMs) hedged++;
      hedge.observe(latencyMs, count);
    }
    expect(hedged / 50_000).toBeGreaterThan(0.035);
    expect(hedged / 50_000).toBeLessThan(0.065);
  });
});
