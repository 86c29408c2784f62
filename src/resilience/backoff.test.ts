import { expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../base/random.ts";
import { backoffBoundMs, backoffMs } from "./backoff.ts";

const usual = { baseMs: 25, maxMs: 250 };

test("the bound doubles up to the cap", () => {
  expect([1, 2, 3, 4, 5, 6, 2_000].map((retry) => backoffBoundMs(retry, usual))).toEqual([
    25, 50, 100, 200, 250, 250, 250,
  ]);
});

test("the jitter is full: all of the range is used, evenly", () => {
  const random = seededRandom(7);
  const waits = Array.from({ length: 20_000 }, () => backoffMs(3, usual, random));
  const quarters = [0, 0, 0, 0];
  for (const wait of waits) quarters[Math.floor(wait / 25)]!++;
  for (const count of quarters) expect(Math.abs(count - 5_000)).toBeLessThan(300);
});

test("property: never negative, never above the bound", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -3, max: 5_000 }),
      fc.nat(10_000),
      fc.nat(100_000),
      fc.nat(),
      (retry, baseMs, maxMs, seed) => {
        const wait = backoffMs(retry, { baseMs, maxMs }, seededRandom(seed));
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(maxMs);
      },
    ),
  );
});
