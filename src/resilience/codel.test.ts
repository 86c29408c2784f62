import { describe, expect, test } from "bun:test";
import { OverloadWatch } from "./codel.ts";

const usual = { targetMs: 5, intervalMs: 100 };

describe("the watch for overload", () => {
  test("a queue that was empty a moment ago may wait for an interval", () => {
    const watch = new OverloadWatch(usual, 0);
    watch.lengthChanged(1, 500);
    watch.lengthChanged(2, 550);
    expect([watch.isOverloaded(600), watch.timeoutMs(600)]).toEqual([false, 100]);
  });

  test("one that has not been empty for an interval is cut short", () => {
    const watch = new OverloadWatch(usual, 0);
    watch.lengthChanged(1, 500);
    expect([watch.isOverloaded(601), watch.timeoutMs(601)]).toEqual([true, 5]);
    watch.lengthChanged(0, 700);
    expect(watch.isOverloaded(900)).toBeFalse();
    watch.lengthChanged(1, 950);
    expect(watch.timeoutMs(1_000)).toBe(100);
  });
});
