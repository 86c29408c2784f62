import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { localRegion } from "../base/shared-memory.ts";
import { LocalUsageCounters, SharedUsageCounters, tryAdd } from "./usage-counters.ts";

function shared(cells: number, workers: number): SharedUsageCounters[] {
  const region = localRegion(SharedUsageCounters.bytes(cells, workers));
  return Array.from({ length: workers }, (_, worker) => new SharedUsageCounters(region, cells, workers, worker));
}

describe("shared counts", () => {
  test("are sums over the workers, cell by cell", () => {
    const [first, second, third] = shared(3, 3) as [SharedUsageCounters, SharedUsageCounters, SharedUsageCounters];
    first.add(1);
    second.add(1);
    third.add(2);
    second.subtract(1);
    expect([0, 1, 2].map((cell) => first.read(cell))).toEqual([0, 1, 1]);
  });

  test("lose what a dead worker held and keep the rest", () => {
    const [first, second] = shared(2, 2) as [SharedUsageCounters, SharedUsageCounters];
    for (const cell of [0, 1, 1]) {
      first.add(cell);
      second.add(cell);
    }
    first.releaseWorker(1);
    expect([first.read(0), first.read(1)]).toEqual([1, 2]);
  });

  test("need a column that exists", () => {
    expect(() => new SharedUsageCounters(localRegion(64), 1, 2, 2)).toThrow(RangeError);
    expect(SharedUsageCounters.bytes(3, 3) % 8).toBe(0);
    expect(SharedUsageCounters.bytes(3, 3)).toBeGreaterThanOrEqual(36);
  });
});

test("a limit is never exceeded, whoever adds and gives back", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(2), fc.boolean()), { maxLength: 200 }), fc.nat(6), (steps, limit) => {
      const workers = shared(1, 3);
      const held = [0, 0, 0];
      for (const [worker, takes] of steps) {
        const counters = workers[worker]!;
        if (takes && tryAdd(counters, 0, limit)) held[worker]!++;
        else if (!takes && held[worker]! > 0) {
          counters.subtract(0);
          held[worker]!--;
        }
        expect(counters.read(0)).toBe(held[0]! + held[1]! + held[2]!);
        expect(counters.read(0)).toBeLessThanOrEqual(limit);
      }
    }),
  );
});

test("local counts behave the same", () => {
  const counters = new LocalUsageCounters(2);
  expect([tryAdd(counters, 1, 2), tryAdd(counters, 1, 2), tryAdd(counters, 1, 2)]).toEqual([true, true, false]);
  counters.subtract(1);
  expect([counters.read(0), counters.read(1)]).toEqual([0, 1]);
});
