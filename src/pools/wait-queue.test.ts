import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import type { CodelOptions } from "../resilience/codel.ts";
import { WaitQueue } from "./wait-queue.ts";

function setUp(size: number, codel?: CodelOptions) {
  const clock = new FakeClock();
  let places = 0;
  let length = 0;
  const served: string[] = [];
  const gone: string[] = [];
  const queue = new WaitQueue({ size, timeoutMs: 5_000, codel }, clock, clock, (change) => {
    length += change;
  });
  const waiter = (name: string, deadlineMs = Number.POSITIVE_INFINITY) => ({
    deadlineMs,
    tryAgain() {
      if (places === 0) return false;
      places--;
      served.push(name);
      return true;
    },
    waitedTooLong: () => void gone.push(name),
  });
  return {
    clock,
    queue,
    served,
    gone,
    waiter,
    free: (count: number) => {
      places += count;
    },
    length: () => length,
  };
}

describe("the queue of a pool", () => {
  test("is first come, first served", () => {
    const { queue, waiter, served, free } = setUp(10);
    for (const name of ["a", "b", "c"]) expect(queue.add(waiter(name))).toBeTrue();
    free(2);
    queue.wake();
    expect(served).toEqual(["a", "b"]);
    expect(queue.length).toBe(1);
  });

  test("refuses when it is full", () => {
    const { queue, waiter } = setUp(1);
    expect(queue.add(waiter("a"))).toBeTrue();
    expect(queue.add(waiter("b"))).toBeFalse();
  });

  test("lets nobody wait longer than promised", () => {
    const { queue, waiter, gone, clock, length } = setUp(10);
    queue.add(waiter("a"));
    clock.advance(3_000);
    queue.add(waiter("b"));
    clock.advance(2_010);
    expect(gone).toEqual(["a"]);
    clock.advance(3_000);
    expect(gone).toEqual(["a", "b"]);
    expect(length()).toBe(0);
    expect(clock.waiting).toBe(0);
  });

  test("finds a place that another worker gave free", () => {
    const { queue, waiter, served, clock, free } = setUp(10);
    queue.add(waiter("a"));
    free(1);
    clock.advance(10);
    expect(served).toEqual(["a"]);
    expect(clock.waiting).toBe(0);
  });

  test("forgets one that has left", () => {
    const { queue, waiter, served, free, clock } = setUp(10);
    const left = waiter("a");
    queue.add(left);
    queue.add(waiter("b"));
    queue.remove(left);
    queue.remove(left);
    free(2);
    queue.wake();
    expect(served).toEqual(["b"]);
    expect(clock.waiting).toBe(0);
  });

  test("lets those go whose own time is over, wherever they stand", () => {
    const { clock, queue, waiter, gone, served, free } = setUp(10);
    queue.add(waiter("a"));
    queue.add(waiter("b", 1_000));
    queue.add(waiter("c", 9_000));
    queue.add(waiter("d", 2_000));
    clock.advance(990);
    expect(gone).toEqual([]);
    clock.advance(10);
    expect(gone).toEqual(["b"]);
    clock.advance(1_000);
    expect(gone).toEqual(["b", "d"]);
    clock.advance(2_999);
    expect(queue.length).toBe(2);
    clock.advance(11);
    expect(gone).toEqual(["b", "d", "a", "c"]);
    expect(clock.waiting).toBe(0);
    queue.add(waiter("e", clock.now() + 1_000));
    free(1);
    queue.wake();
    expect(served).toEqual(["e"]);
  });

  test("one that is never empty is cut short, and serves the newest first, until it was empty", () => {
    const { clock, queue, waiter, served, gone, free } = setUp(100, { targetMs: 20, intervalMs: 100 });
    // One comes every 10 ms, one place is free every 20 ms: twice what can be served.
    for (let step = 1; step <= 40; step++) {
      queue.add(waiter(String(step)));
      if (step % 2 === 0) {
        free(1);
        queue.wake();
      }
      clock.advance(10);
    }
    // In turn for the first 100 ms; then those that have just come.
    expect(served.slice(0, 5)).toEqual(["1", "2", "3", "4", "5"]);
    expect(served.slice(-5)).toEqual(["32", "34", "36", "38", "40"]);
    expect(served.length + gone.length + queue.length).toBe(40);
    expect(queue.length).toBeLessThanOrEqual(3);
    clock.advance(100);
    expect(queue.length).toBe(0);
    for (const name of ["x", "y"]) queue.add(waiter(name));
    free(2);
    queue.wake();
    expect(served.slice(-2)).toEqual(["x", "y"]);
    expect(clock.waiting).toBe(0);
  });

  test("one that is busy for a moment only is left alone", () => {
    const { clock, queue, waiter, gone } = setUp(100, { targetMs: 5, intervalMs: 100 });
    for (const name of ["a", "b", "c"]) queue.add(waiter(name));
    clock.advance(90);
    expect([gone, queue.length]).toEqual([[], 3]);
    clock.advance(30);
    expect(gone).toEqual(["a", "b", "c"]);
  });

  test("one that fails at once and gives its place back does not make the next lose its turn", () => {
    const { queue, waiter, served, free } = setUp(10);
    queue.add({
      deadlineMs: Number.POSITIVE_INFINITY,
      tryAgain() {
        served.push("a");
        queue.wake();
        return true;
      },
      waitedTooLong() {},
    });
    queue.add(waiter("b"));
    free(1);
    queue.wake();
    expect(served).toEqual(["a", "b"]);
  });
});
