import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { type Deadline, DeadlineSweep, NEVER, SWEEP_INTERVAL_MS } from "./deadlines.ts";

class Item implements Deadline {
  deadlineMs: number;
  sweepIndex = -1;
  readonly calls: number[] = [];
  readonly #then: (item: Item) => void;

  constructor(deadlineMs: number, then: (item: Item) => void = () => {}) {
    this.deadlineMs = deadlineMs;
    this.#then = then;
  }

  onDeadline(nowMs: number): void {
    this.calls.push(nowMs);
    this.#then(this);
  }
}

test("what is due is told once, within one interval", () => {
  const clock = new FakeClock();
  const sweep = new DeadlineSweep(clock, clock);
  const items = [250, 1_000, NEVER].map((at) => new Item(at));
  for (const item of items) sweep.add(item);
  clock.advance(5_000);
  expect(items.map(({ calls }) => calls)).toEqual([[300], [1_000], []]);
  expect(SWEEP_INTERVAL_MS).toBe(100);
});

test("items may remove themselves and others while they are told", () => {
  const clock = new FakeClock();
  const sweep = new DeadlineSweep(clock, clock);
  const items: Item[] = [];
  const removeAll = () => {
    for (const item of items) sweep.remove(item);
  };
  for (let index = 0; index < 10; index++)
    items.push(new Item(100, index === 5 ? removeAll : (item) => sweep.remove(item)));
  for (const item of items) sweep.add(item);
  clock.advance(1_000);
  expect(sweep.size).toBe(0);
  expect(items.flatMap(({ calls }) => calls).length).toBeGreaterThan(0);
  expect(items.every(({ calls, sweepIndex }) => calls.length <= 1 && sweepIndex === -1)).toBeTrue();
});

test("adding or removing twice does no harm", () => {
  const clock = new FakeClock();
  const sweep = new DeadlineSweep(clock, clock);
  const item = new Item(NEVER);
  sweep.add(item);
  sweep.add(item);
  expect(sweep.size).toBe(1);
  sweep.remove(item);
  sweep.remove(item);
  expect(sweep.size).toBe(0);
  sweep.close();
  expect(clock.waiting).toBe(0);
});
