import { expect, test } from "bun:test";
import fc from "fast-check";
import { FlapDamping } from "./flap-damping.ts";

const minute = 60_000;
/** The figures that routers ship with, in flaps instead of thousands. */
const routers = { halfLifeMs: 15 * minute, suppressAt: 2, reuseAt: 0.75, maxSuppressMs: 60 * minute };

test("the penalty halves with every half-life", () => {
  const damping = new FlapDamping(routers, 0);
  damping.wentDown(0);
  expect([0, 15, 30, 45].map((at) => damping.penalty(at * minute))).toEqual([1, 0.5, 0.25, 0.125]);
});

test("the third flap in a minute holds it back, until the penalty is below the bound of reuse", () => {
  const damping = new FlapDamping(routers, 0);
  expect([0, 30_000, 60_000].map((at) => damping.wentDown(at))).toEqual([false, false, true]);
  const now = minute;
  expect(damping.penalty(now)).toBeCloseTo(2.9325, 3);
  const reuseInMs = damping.reuseInMs(now);
  expect(reuseInMs / minute).toBeCloseTo(15 * Math.log2(damping.penalty(now) / 0.75), 6);
  expect(damping.isSuppressed(now + reuseInMs - 1)).toBeTrue();
  expect(damping.isSuppressed(now + reuseInMs + 1)).toBeFalse();
  expect(damping.reuseInMs(now + reuseInMs + 1)).toBe(0);
});

test("rare failures never hold it back", () => {
  const damping = new FlapDamping(routers, 0);
  for (let hour = 0; hour < 100; hour++) expect(damping.wentDown(hour * 60 * minute)).toBeFalse();
});

test("a thousand flaps are forgiven after the longest time", () => {
  const damping = new FlapDamping(routers, 0);
  for (let second = 0; second < 1_000; second++) damping.wentDown(second * 1_000);
  const now = 999_000;
  expect(damping.reuseInMs(now) / minute).toBeCloseTo(60, 6);
  expect(damping.isSuppressed(now + 61 * minute)).toBeFalse();
});

test("an operator can clear it", () => {
  const damping = new FlapDamping(routers, 0);
  for (let count = 0; count < 5; count++) damping.wentDown(count);
  damping.clear();
  expect([damping.isSuppressed(5), damping.penalty(5)]).toEqual([false, 0]);
});

test("property: held back only after going down, and never for longer than set", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(10 * minute), { maxLength: 50 }), (gaps) => {
      const damping = new FlapDamping(routers, 0);
      let now = 0;
      for (const gap of gaps) {
        now += gap;
        damping.wentDown(now);
        expect(damping.reuseInMs(now)).toBeLessThanOrEqual(routers.maxSuppressMs + 1);
        if (damping.penalty(now) > routers.suppressAt) expect(damping.isSuppressed(now)).toBeTrue();
        if (damping.penalty(now) < routers.reuseAt) expect(damping.isSuppressed(now)).toBeFalse();
      }
      expect(damping.isSuppressed(now + routers.maxSuppressMs + 1)).toBeFalse();
    }),
  );
});
