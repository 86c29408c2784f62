import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../base/random.ts";
import { LoadShedder, type LoadSheddingOptions, PRIORITIES } from "./load-shedding.ts";

const usual: LoadSheddingOptions = {
  delayFromMs: 100,
  delayFullMs: 400,
  memoryFromBytes: 800,
  memoryFullBytes: 1_000,
  recoveryMs: 5_000,
};

function shedder(options: Partial<LoadSheddingOptions> = {}): LoadShedder {
  return new LoadShedder({ ...usual, ...options }, seededRandom(1), 0);
}

/** Refused share of each priority, from critical to low. */
function shares(of: LoadShedder): number[] {
  return PRIORITIES.map((priority) => Number(of.shedShare(priority).toFixed(3)));
}

test("sheds one priority after the other, critical never", () => {
  const delays: [delayMs: number, shares: number[]][] = [
    [0, [0, 0, 0, 0]],
    [100, [0, 0, 0, 0]],
    [150, [0, 0, 0, 0.5]],
    [200, [0, 0, 0, 1]],
    [250, [0, 0, 0.5, 1]],
    [300, [0, 0, 1, 1]],
    [350, [0, 0.5, 1, 1]],
    [400, [0, 1, 1, 1]],
    [60_000, [0, 1, 1, 1]],
  ];
  for (const [delayMs, expected] of delays) {
    const load = shedder();
    load.sample(delayMs, 0, 10);
    expect(shares(load)).toEqual(expected);
  }
});

describe("pressure", () => {
  test("comes from the worse of delay and memory", () => {
    const load = shedder();
    load.sample(130, 900, 10);
    expect([load.pressure, load.cause]).toEqual([0.5, "memory"]);
    load.sample(310, 900, 20);
    expect([Number(load.pressure.toFixed(3)), load.cause]).toEqual([0.7, "delay"]);
  });

  test("memory is left out when it has no bound", () => {
    const load = shedder({ memoryFullBytes: 0 });
    load.sample(0, 1e12, 10);
    expect(load.pressure).toBe(0);
  });

  test("rises at once and falls slowly", () => {
    const load = shedder();
    load.sample(400, 0, 0);
    load.sample(0, 0, 1_000);
    expect(load.pressure).toBeCloseTo(0.8, 6);
    load.sample(0, 0, 4_000);
    expect(load.pressure).toBeCloseTo(0.2, 6);
    load.sample(0, 0, 5_001);
    expect(load.pressure).toBe(0);
    load.sample(0, 0, 4_000);
    expect(load.pressure).toBe(0);
  });
});

test("the refused share is met on average", () => {
  const load = shedder();
  load.sample(250, 0, 0);
  let refused = 0;
  for (let count = 0; count < 10_000; count++) if (!load.admits("normal")) refused++;
  expect(Math.abs(refused - 5_000)).toBeLessThan(200);
  expect(Array.from({ length: 100 }, () => load.admits("low")).includes(true)).toBeFalse();
  expect(Array.from({ length: 100 }, () => load.admits("high")).includes(false)).toBeFalse();
});

test("property: the more important, the less is refused; critical requests always pass", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1_000), fc.nat(2_000), fc.nat(2_000)), { minLength: 1 }), (samples) => {
      const load = shedder();
      let nowMs = 0;
      for (const [delayMs, memoryBytes, gapMs] of samples) {
        nowMs += gapMs;
        load.sample(delayMs, memoryBytes, nowMs);
        const all = shares(load);
        expect([...all].sort((a, b) => a - b)).toEqual(all);
        expect(load.pressure).toBeLessThanOrEqual(1);
        expect(load.admits("critical")).toBeTrue();
      }
    }),
  );
});
