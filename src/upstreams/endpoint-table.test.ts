import { expect, test } from "bun:test";
import { localRegion } from "../base/shared-memory.ts";
import { EndpointTable } from "./endpoint-table.ts";

function table(workers: number): EndpointTable {
  return new EndpointTable(localRegion(EndpointTable.bytes(workers)), workers);
}

test("in flight is the sum over workers", () => {
  const endpoints = table(3);
  for (const worker of [0, 1, 1, 2]) endpoints.acquire(7, worker);
  expect(endpoints.inFlight(7)).toBe(4);
  endpoints.release(7, 1);
  expect(endpoints.inFlight(7)).toBe(3);
  expect(endpoints.inFlight(6)).toBe(0);
});

test("a limit holds over all workers and is never exceeded", () => {
  const endpoints = table(2);
  const taken = [0, 1, 0, 1, 0].map((worker) => endpoints.tryAcquire(1, worker, 3));
  expect(taken).toEqual([true, true, true, false, false]);
  expect(endpoints.inFlight(1)).toBe(3);
});

test("what a dead worker held is given back", () => {
  const endpoints = table(2);
  for (const row of [1, 2, 16_383]) for (const worker of [0, 1]) endpoints.acquire(row, worker);
  endpoints.releaseWorker(1);
  expect([1, 2, 16_383].map((row) => endpoints.inFlight(row))).toEqual([1, 1, 1]);
});

test("a cleared row is as new", () => {
  const endpoints = table(2);
  endpoints.setHealthy(3, true);
  endpoints.setWeight(3, 5);
  endpoints.acquire(3, 1);
  endpoints.clearRow(3);
  expect([endpoints.isEligible(3), endpoints.weight(3), endpoints.inFlight(3)]).toEqual([false, 0, 0]);
});

test("every reason against an endpoint counts, whatever the order they come and go in", () => {
  const endpoints = table(1);
  const standing = () => [endpoints.isEligible(0), endpoints.keepsSessions(0), endpoints.isLeaving(0)];
  expect(standing()).toEqual([false, false, false]);
  endpoints.setHealthy(0, true);
  expect(standing()).toEqual([true, true, false]);
  endpoints.setState(0, "drain");
  expect(standing()).toEqual([false, true, true]);
  endpoints.setDrained(0);
  expect(standing()).toEqual([false, false, true]);
  endpoints.setState(0, "maintenance");
  endpoints.setEjected(0, true);
  endpoints.setState(0, "ready");
  expect(standing()).toEqual([false, false, false]);
  endpoints.setEjected(0, false);
  expect(standing()).toEqual([true, true, false]);
  endpoints.setState(0, "drain");
  endpoints.setHealthy(0, false);
  expect(standing()).toEqual([false, false, true]);
});

test("degraded is second best; held back and blocked are reasons against it, of which panic heeds only the second", () => {
  const endpoints = table(1);
  const standing = () =>
    [endpoints.isEligible(0), endpoints.isDegraded(0), endpoints.isUsable(0), endpoints.mayBeTried(0)]
      .map(Number)
      .join("");
  endpoints.setHealthy(0, true);
  expect(standing()).toBe("1011");
  endpoints.setDegraded(0, true);
  expect([standing(), endpoints.keepsSessions(0)]).toEqual(["0111", true]);
  endpoints.setState(0, "drain");
  expect([standing(), endpoints.keepsSessions(0)]).toEqual(["0000", true]);
  endpoints.setState(0, "ready");
  endpoints.setHeld(0, true);
  expect([standing(), endpoints.keepsSessions(0)]).toEqual(["0001", false]);
  endpoints.setBlocked(0, true);
  endpoints.setHeld(0, false);
  expect([standing(), endpoints.isBlocked(0), endpoints.keepsSessions(0)]).toEqual(["0000", true, false]);
  endpoints.setBlocked(0, false);
  endpoints.setDegraded(0, false);
  expect(standing()).toBe("1011");
});
