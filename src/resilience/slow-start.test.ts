import { expect, test } from "bun:test";
import fc from "fast-check";
import { effectiveWeight, slowStartFactor, WEIGHT_SCALE } from "./slow-start.ts";

const minute = { windowMs: 60_000, aggression: 1, minPercent: 10 };

function factors(seconds: readonly number[], aggression: number): number[] {
  return seconds.map((second) => Number(slowStartFactor(second * 1_000, { ...minute, aggression }).toFixed(4)));
}

test("published values, linear and with aggression", () => {
  expect(factors([0, 6, 15, 30, 45, 60], 1)).toEqual([0.1, 0.1, 0.25, 0.5, 0.75, 1]);
  expect(factors([6, 15, 30, 45], 1.5)).toEqual([0.2154, 0.3969, 0.63, 0.8255]);
});

test("the default window", () => {
  const usual = { windowMs: 30_000, aggression: 1, minPercent: 10 };
  expect([0, 3_000, 15_000, 29_700, 30_000, 1e9].map((age) => effectiveWeight(1, age, usual))).toEqual([
    10, 10, 50, 99, 100, 100,
  ]);
  expect(effectiveWeight(256, 15_000, usual)).toBe(12_800);
});

test("off, and endpoints without weight", () => {
  expect(slowStartFactor(0, { ...minute, windowMs: 0 })).toBe(1);
  expect(effectiveWeight(0, 10, minute)).toBe(0);
  expect(effectiveWeight(1, 0, { ...minute, minPercent: 0 })).toBe(1);
});

test("property: grows without a step back, from the floor to the full weight", () => {
  fc.assert(
    fc.property(
      fc.nat(120_000),
      fc.nat(120_000),
      fc.double({ min: 0.1, max: 10, noNaN: true }),
      fc.integer({ min: 1, max: 256 }),
      (one, other, aggression, weight) => {
        const options = { ...minute, aggression };
        const [early, late] = one < other ? [one, other] : [other, one];
        expect(slowStartFactor(early, options)).toBeLessThanOrEqual(slowStartFactor(late, options));
        expect(slowStartFactor(early, options)).toBeGreaterThanOrEqual(0.1);
        expect(effectiveWeight(weight, late, options)).toBeLessThanOrEqual(weight * WEIGHT_SCALE);
      },
    ),
  );
});
