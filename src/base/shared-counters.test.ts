import { expect, test } from "bun:test";
import { counterKey, SharedCounters } from "./shared-counters.ts";
import { localRegion } from "./shared-memory.ts";

function twoWorkers(): [SharedCounters, SharedCounters] {
  const region = localRegion(SharedCounters.bytes(2));
  return [new SharedCounters(region, 2, 0), new SharedCounters(region, 2, 1)];
}

test("a limit holds over all workers", () => {
  const [one, two] = twoWorkers();
  const key = counterKey("10.0.0.1");
  expect(one.tryAdd(key, 2)).toBe("added");
  expect(two.tryAdd(key, 2)).toBe("added");
  expect(one.tryAdd(key, 2)).toBe("refused");
  two.subtract(key);
  expect(one.tryAdd(key, 2)).toBe("added");
  expect(one.count(key)).toBe(2);
});

test("what a dead worker counted is taken back, and its lock", () => {
  const [one, two] = twoWorkers();
  const key = counterKey("10.0.0.1");
  one.tryAdd(key, 9);
  two.tryAdd(key, 9);
  two.tryAdd(key, 9);
  one.releaseWorker(1);
  expect(one.count(key)).toBe(1);
});

test("keys come and go without losing others", () => {
  const [one] = twoWorkers();
  const keys = Array.from({ length: 30_000 }, (_, index) => counterKey(`client-${index}`));
  for (const key of keys) expect(one.tryAdd(key, 5)).toBe("added");
  for (let index = 0; index < keys.length; index += 2) one.subtract(keys[index]!);
  for (let index = 0; index < keys.length; index++) expect(one.count(keys[index]!)).toBe(index % 2);
  for (let index = 1; index < keys.length; index += 2) one.subtract(keys[index]!);
  for (const key of keys) expect(one.count(key)).toBe(0);
});

test("more keys than fit are let through uncounted", () => {
  const [one] = twoWorkers();
  let uncounted = 0;
  for (let index = 0; index < 50_000; index++)
    if (one.tryAdd(counterKey(`c${index}`), 1) === "not-counted") uncounted++;
  expect(uncounted).toBe(50_000 - 49_152);
});
