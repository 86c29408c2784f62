import { describe, expect, test } from "bun:test";
import { LimitSharing } from "./limit-sharing.ts";
import { readPublication, writePublication } from "./publication.ts";

const INTERVAL_MS = 250;
const FORGET_AFTER_MS = 5_000;

/** A balancer that has as much to do with one limit as it likes, and takes what it gets. */
class Balancer {
  readonly sharing: LimitSharing;
  wanted = 0;
  inUse = 0;
  reserved = 0;
  draining = false;
  limit: number;

  constructor(limit: number, whenUnreachable: "alone" | "split" = "alone") {
    this.limit = limit;
    this.sharing = new LimitSharing({
      forgetAfterMs: FORGET_AFTER_MS,
      whenUnreachable,
      isShort: () => this.inUse < this.wanted,
    });
    this.sharing.setLimits([this.#shared()], 0);
  }

  /** A quarter of what it has in use ends; new ones begin as far as there is room. */
  work(): void {
    this.inUse -= Math.min(this.inUse, Math.max(1, Math.floor(this.inUse / 4)));
    this.inUse += Math.max(0, Math.min(this.wanted - this.inUse, this.limit - this.reserved - this.inUse));
  }

  #shared() {
    const reserve = (places: number): void => {
      this.reserved = places;
    };
    return { pool: "app", name: "active", limit: this.limit, inUse: () => this.inUse, reserve };
  }
}

/** Balancers that hear of each other every interval, as by a Redis that answers. */
class World {
  nowMs = 0;
  readonly published = new Map<string, string>();
  most = 0;
  readonly balancers: readonly Balancer[];

  constructor(balancers: readonly Balancer[]) {
    this.balancers = balancers;
    this.exchange();
  }

  run(intervals: number): void {
    for (let round = 0; round < intervals; round++) {
      this.nowMs += INTERVAL_MS;
      for (const balancer of this.balancers) balancer.work();
      this.most = Math.max(this.most, this.total);
      this.exchange();
    }
  }

  get total(): number {
    return this.balancers.reduce((sum, { inUse }) => sum + inUse, 0);
  }

  exchange(): void {
    for (const [index, { sharing, draining }] of this.balancers.entries()) {
      this.published.set(`b${index}`, writePublication(sharing.publish(draining)));
      const others = new Map([...this.published].filter(([id]) => id !== `b${index}`));
      sharing.heard(others, this.nowMs);
    }
  }

  silence(forMs: number): void {
    this.nowMs += forMs;
    for (const { sharing } of this.balancers) sharing.unheard(this.nowMs);
  }
}

describe("a limit that is kept together", () => {
  test("is not exceeded by a rush at all of them", () => {
    const world = new World([new Balancer(100), new Balancer(100), new Balancer(100)]);
    world.run(4);
    for (const balancer of world.balancers) balancer.wanted = 200;
    world.run(40);
    expect(world.most).toBeLessThanOrEqual(100);
    for (const { inUse } of world.balancers) expect(inUse).toBe(33);
  });

  test("is all for the one that has something to do", () => {
    const world = new World([new Balancer(100), new Balancer(100), new Balancer(100), new Balancer(100)]);
    world.run(2);
    (world.balancers[0] as Balancer).wanted = 200;
    world.run(6);
    expect(world.balancers.map(({ inUse }) => inUse)).toEqual([100, 0, 0, 0]);
    expect(world.most).toBeLessThanOrEqual(100);
  });

  test("is given up to the one that comes later, until both have the same", () => {
    const [first, second] = [new Balancer(100), new Balancer(100)];
    const world = new World([first, second]);
    first.wanted = 200;
    world.run(8);
    expect(first.inUse).toBe(100);
    second.wanted = 200;
    world.run(30);
    expect([first.inUse, second.inUse]).toEqual([50, 50]);
    expect(world.most).toBeLessThanOrEqual(100);
  });

  test("what the one that needs little does not use stays with the other", () => {
    const [first, second] = [new Balancer(100), new Balancer(100)];
    const world = new World([first, second]);
    world.run(1);
    first.wanted = 200;
    second.wanted = 10;
    world.run(60);
    expect(world.most).toBeLessThanOrEqual(100);
    let [ours, theirs] = [0, 0];
    for (let round = 0; round < 40; round++) {
      world.run(1);
      ours += first.inUse / 40;
      theirs += second.inUse / 40;
    }
    expect(theirs).toBeGreaterThan(8);
    expect(ours).toBeGreaterThan(75);
  });

  test("one that drains keeps what it has, and nothing is kept for it", () => {
    const [first, second] = [new Balancer(100), new Balancer(100)];
    const world = new World([first, second]);
    first.wanted = second.wanted = 50;
    world.run(10);
    first.wanted = 0;
    first.draining = true;
    world.exchange();
    second.wanted = 200;
    expect([second.sharing.balancers("app"), second.reserved]).toEqual([1, 50]);
    world.run(40);
    expect([first.inUse, second.inUse]).toEqual([0, 100]);
  });

  test("one that is gone is counted until it is forgotten, then removed", () => {
    const [first, second] = [new Balancer(100), new Balancer(100)];
    const world = new World([first, second]);
    first.wanted = second.wanted = 50;
    world.run(4);
    const left = new Map([["b1", world.published.get("b1") as string]]);
    const hear = (afterMs: number): readonly string[] => first.sharing.heard(left, world.nowMs + afterMs);
    hear(0);
    expect([hear(FORGET_AFTER_MS - 1), first.reserved, first.sharing.balancers("app")]).toEqual([[], 50, 2]);
    expect([hear(FORGET_AFTER_MS), first.reserved, first.sharing.balancers("app")]).toEqual([[], 0, 1]);
    expect(hear(FORGET_AFTER_MS * 10)).toEqual(["b1"]);
  });
});

describe("while nobody can be heard", () => {
  test.each<["alone" | "split", number]>([
    ["alone", 0],
    ["split", 50],
  ])("limits hold for a while as they were, then %s", (whenUnreachable, reserved) => {
    const world = new World([new Balancer(100, whenUnreachable), new Balancer(100, whenUnreachable)]);
    const [first, second] = world.balancers as [Balancer, Balancer];
    second.wanted = 40;
    world.run(10);
    expect(first.reserved).toBe(50);
    second.wanted = 0;
    world.silence(FORGET_AFTER_MS - 1);
    expect([first.reserved, first.sharing.isHearing(world.nowMs)]).toEqual([50, true]);
    world.silence(1);
    expect([first.reserved, first.sharing.isHearing(world.nowMs)]).toEqual([reserved, false]);
    world.run(20);
    expect([first.sharing.isHearing(world.nowMs), first.sharing.balancers("app")]).toEqual([true, 2]);
  });

  test("one that has never heard anybody has all of it", () => {
    const balancer = new Balancer(100, "split");
    balancer.sharing.unheard(60_000);
    expect([balancer.reserved, balancer.sharing.isHearing(60_000)]).toEqual([0, false]);
  });
});

test("a limit that is not shared any more is this one's own again", () => {
  const world = new World([new Balancer(100), new Balancer(100)]);
  const [first, second] = world.balancers as [Balancer, Balancer];
  second.wanted = 40;
  world.run(4);
  expect(first.reserved).toBe(50);
  first.sharing.setLimits([], world.nowMs);
  expect([first.reserved, first.sharing.balancers("app")]).toEqual([0, undefined]);
  second.sharing.close();
  expect(second.reserved).toBe(0);
});

test.each([
  "",
  "null",
  "[]",
  "{",
  '{"sequence":1,"draining":false}',
  '{"sequence":-1,"draining":false,"pools":{}}',
  '{"sequence":1,"draining":false,"pools":{"app":{"short":false,"inUse":{"active":-5}}}}',
  '{"sequence":1,"draining":false,"pools":{"app":{"short":false,"inUse":{"active":1e99}}}}',
  '{"sequence":1,"draining":false,"pools":{},"more":1}',
  `{"sequence":1,"draining":false,"pools":{}}${" ".repeat(1_048_576)}`,
])("what no balancer has written is not believed: %#", (text) => {
  expect(readPublication(text)).toBeUndefined();
  const balancer = new Balancer(100);
  balancer.sharing.heard(new Map([["b9", text]]), 0);
  expect([balancer.reserved, balancer.sharing.balancers("app")]).toEqual([0, 1]);
});

test("more balancers than anybody has are not taken notice of", () => {
  const balancer = new Balancer(100);
  const text = writePublication(new Balancer(100).sharing.publish(false));
  balancer.sharing.heard(new Map(Array.from({ length: 1_000 }, (_, index) => [`b${index}`, text])), 0);
  expect(balancer.sharing.balancers("app")).toBe(65);
});
