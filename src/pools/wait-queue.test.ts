import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import type { CodelOptions } from "../resilience/codel.ts";
import { PRIORITY_RANK } from "../resilience/load-shedding.ts";
import type { Waiter, WaitPlace } from "./wait-lane.ts";
import { WaitQueue } from "./wait-queue.ts";

function setUp(size: number, codel?: CodelOptions) {
  const clock = new FakeClock();
  let places = 0;
  let length = 0;
  const served: string[] = [];
  const gone: string[] = [];
  const displaced: string[] = [];
  const queue = new WaitQueue({ size, timeoutMs: 5_000, codel }, clock, clock, (change) => {
    length += change;
  });
  const waiter = (name: string, deadlineMs = Number.POSITIVE_INFINITY, rank = PRIORITY_RANK.normal): Waiter => ({
    rank,
    deadlineMs,
    tryAgain() {
      if (places === 0) return false;
      places--;
      return true;
    },
    go: () => void served.push(name),
    waitedTooLong: () => void gone.push(name),
    displaced: () => void displaced.push(name),
  });
  /** Its priority is the first letter of its name. */
  const come = (...names: string[]): boolean[] =>
    names.map((name) => queue.add(waiter(name, undefined, "chnl".indexOf(name[0] as string))) !== undefined);
  return {
    clock,
    queue,
    served,
    gone,
    displaced,
    waiter,
    come,
    free: (count: number) => {
      places += count;
    },
    length: () => length,
  };
}

describe("the queue of a pool", () => {
  test("is first come, first served", () => {
    const { queue, waiter, served, free } = setUp(10);
    for (const name of ["a", "b", "c"]) expect(queue.add(waiter(name))).toBeDefined();
    free(2);
    queue.wake();
    expect(served).toEqual(["a", "b"]);
    expect(queue.length).toBe(1);
  });

  test("refuses when it is full", () => {
    const { queue, waiter } = setUp(1);
    expect(queue.add(waiter("a"))).toBeDefined();
    expect(queue.add(waiter("b"))).toBeUndefined();
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
    const left = queue.add(waiter("a")) as WaitPlace;
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
      ...waiter("a"),
      tryAgain: () => true,
      go() {
        served.push("a");
        queue.wake();
      },
    });
    queue.add(waiter("b"));
    free(1);
    queue.wake();
    expect(served).toEqual(["a", "b"]);
  });
});

describe("priorities", () => {
  const CODEL = { targetMs: 20, intervalMs: 100 };

  test("who is more important goes first; among equals it is first come, first served", () => {
    const { queue, served, come, free } = setUp(20);
    come("n1", "l1", "c1", "n2", "h1", "c2", "l2", "h2");
    free(3);
    queue.wake();
    come("c3");
    free(10);
    queue.wake();
    expect(served).toEqual(["c1", "c2", "h1", "c3", "h2", "n1", "n2", "l1", "l2"]);
    expect(queue.length).toBe(0);
  });

  test("in a full queue the last of the least important makes room, for one that is more important only", () => {
    const { queue, displaced, served, come, free, length } = setUp(4);
    expect(come("n1", "l1", "l2", "h1")).toEqual([true, true, true, true]);
    expect(come("l3", "n2", "c1", "n3", "h2", "h3", "c2", "c3", "c4")).toEqual([
      false,
      true,
      true,
      false,
      true,
      true,
      true,
      true,
      true,
    ]);
    expect(displaced).toEqual(["l2", "l1", "n2", "n1", "h3", "h2", "h1"]);
    expect([queue.length, length()]).toEqual([4, 4]);
    expect(come("c5")).toEqual([false]);
    free(4);
    queue.wake();
    expect(served).toEqual(["c1", "c2", "c3", "c4"]);
  });

  test("while the queue never gets empty, the newest of a priority go first, and the oldest make room", () => {
    const { clock, queue, served, displaced, gone, come, free } = setUp(6, CODEL);
    come("n1");
    clock.advance(95);
    come("l1", "n2", "c1", "n3", "l2");
    expect(come("c2")).toEqual([true]);
    // Not overloaded yet: the newest.
    expect(displaced).toEqual(["l2"]);
    clock.advance(15);
    expect(gone).toEqual(["n1"]);
    come("l3");
    expect(come("h1")).toEqual([true]);
    expect(displaced).toEqual(["l2", "l1"]);
    free(6);
    queue.wake();
    expect(served).toEqual(["c2", "c1", "h1", "n3", "n2", "l3"]);
    expect(clock.waiting).toBe(0);
  });

  test("nobody waits longer than promised, however many more important ones come", () => {
    const { clock, queue, served, gone, come, free } = setUp(100);
    come("l1");
    for (let step = 0; step < 600; step++) {
      come(`c${step}`);
      free(1);
      queue.wake();
      clock.advance(10);
    }
    expect([served.length, gone]).toEqual([600, ["l1"]]);
  });

  test("room can be made without coming in", () => {
    const { queue, displaced, come } = setUp(10);
    come("n1", "l1", "n2");
    expect([queue.displaceFor(2), queue.displaceFor(2), queue.displaceFor(0), queue.displaceFor(3)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(displaced).toEqual(["l1", "n2"]);
  });

  test("one that is displaced may come again at once, and be more important", () => {
    const { queue, waiter, displaced, come } = setUp(1);
    queue.add({ ...waiter("l1", undefined, 3), displaced: () => void come("c1") });
    expect(come("h1")).toEqual([false]);
    expect([queue.length, displaced]).toEqual([1, []]);
  });
});

test("one whose own time is over gets no place that has become free", () => {
  const { clock, queue, waiter, gone, served, free } = setUp(10);
  clock.advance(5);
  queue.add(waiter("a", 12));
  queue.add(waiter("b"));
  clock.advance(8);
  free(1);
  queue.wake();
  expect([gone, served]).toEqual([["a"], ["b"]]);
});

test("it makes no difference how many wait, and from where they leave", () => {
  const { clock, queue, waiter, length } = setUp(100_000);
  const places: WaitPlace[] = [];
  for (let index = 0; index < 100_000; index++)
    places.push(queue.add(waiter(String(index), undefined, index % 4)) as WaitPlace);
  for (let index = 0; index < 100_000; index += 2) queue.remove(places[index] as WaitPlace);
  for (let index = 99_999; index >= 0; index -= 2) queue.remove(places[index] as WaitPlace);
  expect([queue.length, length(), clock.waiting]).toEqual([0, 0, 0]);
});
