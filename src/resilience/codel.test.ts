import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Codel, OverloadWatch } from "./codel.ts";

const usual = { targetMs: 5, intervalMs: 100 };

/** Takes something out every millisecond that has waited for `waitedMs`; gives the times at which it was refused. */
function drops(codel: Codel, fromMs: number, untilMs: number, waitedMs: number, remaining = 10): number[] {
  const times: number[] = [];
  for (let nowMs = fromMs; nowMs < untilMs; nowMs++) {
    if (codel.shouldDrop(waitedMs, remaining, nowMs)) times.push(nowMs);
  }
  return times;
}

describe("CoDel", () => {
  test("drops first after an interval, then after 100, 70.7, 57.7, 50 ms", () => {
    const times = drops(new Codel(usual), 1_000, 1_480, 6);
    expect(times).toEqual([1_100, 1_200, 1_271, 1_329, 1_379, 1_424, 1_464]);
  });

  test("leaves a queue alone that is long for less than an interval", () => {
    const codel = new Codel(usual);
    for (let round = 0; round < 20; round++) {
      expect(drops(codel, round * 200, round * 200 + 99, 50)).toEqual([]);
      expect(codel.shouldDrop(4, 10, round * 200 + 99)).toBeFalse();
    }
  });

  test("never refuses what is short of the target, nor the last one", () => {
    expect(drops(new Codel(usual), 0, 5_000, 4.99)).toEqual([]);
    expect(drops(new Codel(usual), 0, 5_000, 1_000, 0)).toEqual([]);
  });

  test("stops as soon as waiting is short again", () => {
    const codel = new Codel(usual);
    drops(codel, 0, 1_000, 6);
    expect(codel.dropping).toBeTrue();
    expect(codel.shouldDrop(1, 10, 1_000)).toBeFalse();
    expect(codel.dropping).toBeFalse();
    expect(drops(codel, 1_001, 1_100, 6)).toEqual([]);
  });

  test("goes on where it was when the queue comes back soon, and from the start when late", () => {
    const again = (pauseMs: number): number[] => {
      const codel = new Codel(usual);
      drops(codel, 0, 1_000, 6);
      codel.shouldDrop(1, 10, 1_000);
      return drops(codel, 1_000 + pauseMs, 1_000 + pauseMs + 201, 6);
    };
    expect(again(10).length).toBeGreaterThan(5);
    expect(again(5_000).length).toBe(2);
  });

  test("property: the longer the queue stands, the shorter the pauses", () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 5_000 }), fc.integer({ min: 20, max: 500 }), (waitedMs, intervalMs) => {
        const times = drops(new Codel({ targetMs: 5, intervalMs }), 0, 5_000, waitedMs);
        const pauses = times.slice(1).map((time, index) => time - times[index]!);
        for (const [index, pause] of pauses.entries()) {
          expect(pause).toBeLessThanOrEqual((pauses[index - 1] ?? intervalMs) + 1);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe("the watch for overload", () => {
  test("a queue that was empty a moment ago may wait, oldest first", () => {
    const watch = new OverloadWatch(usual, 0);
    watch.lengthChanged(1, 500);
    watch.lengthChanged(2, 550);
    expect([watch.isOverloaded(600), watch.timeoutMs(600), watch.order(600)]).toEqual([false, 100, "oldest-first"]);
  });

  test("one that has not been empty for an interval is cut short, newest first", () => {
    const watch = new OverloadWatch(usual, 0);
    watch.lengthChanged(1, 500);
    expect([watch.isOverloaded(601), watch.timeoutMs(601), watch.order(601)]).toEqual([true, 5, "newest-first"]);
    watch.lengthChanged(0, 700);
    expect(watch.isOverloaded(900)).toBeFalse();
    watch.lengthChanged(1, 950);
    expect(watch.timeoutMs(1_000)).toBe(100);
  });
});
