import { expect, test } from "bun:test";
import { localRegion } from "../base/shared-memory.ts";
import { CONCURRENCY_LIMIT_CELLS, ConcurrencyLimits, type LimitedResource } from "./concurrency-limits.ts";
import { LocalUsageCounters, SharedUsageCounters } from "./usage-counters.ts";

const resources: readonly LimitedResource[] = ["pending", "active", "retries"];

test("each resource has a bound of its own", () => {
  const options = { pending: 2, active: 5, retries: 1 };
  const limits = new ConcurrencyLimits(new LocalUsageCounters(CONCURRENCY_LIMIT_CELLS), 0, options);
  for (const resource of resources) {
    let acquired = 0;
    while (limits.tryAcquire(resource)) acquired++;
    expect(acquired).toBe(options[resource]);
    expect(limits.remaining(resource)).toBe(0);
  }
  expect(resources.map((resource) => limits.describe(resource))).toEqual([
    "2 of 2 pending requests",
    "5 of 5 active requests",
    "1 of 1 retries",
  ]);
  limits.release("pending");
  expect([limits.tryAcquire("active"), limits.tryAcquire("pending")]).toEqual([false, true]);
});

test("0 counts without a bound", () => {
  const options = { pending: 0, active: 0, retries: 0 };
  const limits = new ConcurrencyLimits(new LocalUsageCounters(8), 4, options);
  for (let count = 0; count < 5_000; count++) expect(limits.tryAcquire("active")).toBeTrue();
  expect(limits.inUse("active")).toBe(5_000);
  expect(limits.remaining("active")).toBe(Number.POSITIVE_INFINITY);
});

test("a bound holds over all workers, and a lower one from the next request on", () => {
  const region = localRegion(SharedUsageCounters.bytes(CONCURRENCY_LIMIT_CELLS, 2));
  const options = { pending: 4, active: 4, retries: 4 };
  const counters = [0, 1].map((worker) => new SharedUsageCounters(region, CONCURRENCY_LIMIT_CELLS, 2, worker));
  const [one, two] = counters.map((each) => new ConcurrencyLimits(each, 0, options));
  for (let count = 0; count < 2; count++) {
    expect(one!.tryAcquire("active")).toBeTrue();
    expect(two!.tryAcquire("active")).toBeTrue();
  }
  expect([one!.tryAcquire("active"), two!.tryAcquire("active")]).toEqual([false, false]);
  one!.options = { ...options, active: 1 };
  expect(one!.remaining("active")).toBe(0);
  counters[0]!.releaseWorker(1);
  one!.release("active");
  expect([one!.tryAcquire("active"), one!.inUse("active")]).toEqual([false, 1]);
});
