import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { flapDampingSchema } from "../health/flap-schema.ts";
import { FlapHolds } from "./flap-holds.ts";

const config = flapDampingSchema.parse({});
if (config === false) throw new Error("an empty object turns it on");

function setUp() {
  const clock = new FakeClock();
  const holds = new FlapHolds(clock, clock);
  const trusted: number[] = [];
  const down = (): boolean =>
    holds.wentDown("a", config as Exclude<typeof config, false>, () => trusted.push(clock.now()));
  /** Goes down so many times, the first time at once. */
  const flap = (times: number, everyMs: number): boolean[] =>
    Array.from({ length: times }, (_, index) => {
      if (index > 0) clock.advance(everyMs);
      return down();
    });
  return { clock, holds, trusted, down, flap };
}

/** What is left of each failure ten seconds later, with a half-life of 60 s. */
const R = 2 ** (-1 / 6);

test("the fourth failure in half a minute holds it back, until less than one is left of them", () => {
  const { clock, holds, trusted, flap } = setUp();
  expect(flap(4, 10_000)).toEqual([false, false, false, true]);
  // 1 + 0.89 + 0.79 + 0.71 failures' worth: 3.39.
  const heldMs = 60_000 * Math.log2(1 + R + R ** 2 + R ** 3);
  expect(heldMs).toBeCloseTo(105_720.67, 1);
  expect(holds.hold("a")).toEqual({
    sinceMs: 30_000,
    reason: "held back: 4 failures within 30s; trusted again in about 1.8m",
  });
  clock.advance(heldMs - 40_000);
  expect(holds.hold("a")?.reason).toBe("held back: 4 failures within 30s; trusted again in about 40s");
  clock.advance(39_999);
  expect([holds.isHeld("a"), trusted]).toEqual([true, []]);
  clock.advance(2);
  expect([holds.isHeld("a"), holds.hold("a")]).toEqual([false, undefined]);
  expect(trusted).toEqual([30_000 + Math.floor(heldMs) + 1]);
  expect(clock.waiting).toBe(0);
});

test("failures once a minute never add up to more than three", () => {
  const { flap } = setUp();
  expect(flap(50, 60_000)).not.toContain(true);
});

test("failures while it is held back make it longer, at most the longest time after the last one", () => {
  const { clock, holds, trusted, flap } = setUp();
  flap(4, 10_000);
  clock.advance(60_000);
  expect(flap(1, 0)).toEqual([false]);
  flap(300, 1_000);
  expect(holds.hold("a")?.reason).toStartWith("held back: 305 failures within 6.5m; trusted again in about 5m");
  clock.advance(299_999);
  expect(trusted).toEqual([]);
  clock.advance(2);
  expect(trusted).toHaveLength(1);
});

test("a series ends when hardly anything is left of it", () => {
  const { clock, holds, flap } = setUp();
  flap(2, 10_000);
  clock.advance(600_000);
  flap(4, 1_000);
  expect(holds.hold("a")?.reason).toStartWith("held back: 4 failures within 3s;");
});

test("an operator, or other settings, make an end of it", () => {
  const { clock, holds, flap } = setUp();
  flap(4, 10_000);
  expect(holds.forgetUnless("a", structuredClone(config))).toBeFalse();
  expect(holds.forgetUnless("a", flapDampingSchema.parse({ suppressAt: 5 }))).toBeTrue();
  expect([holds.isHeld("a"), clock.waiting]).toEqual([false, 0]);
  expect(flap(4, 10_000).at(-1)).toBeTrue();
  expect(holds.forget("a")).toBeTrue();
  expect(holds.forget("a")).toBeFalse();
  expect(flap(1, 0)).toEqual([false]);
  holds.close();
  expect(clock.waiting).toBe(0);
});
