import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { PoolHedging } from "./pool-hedging.ts";

function setUp(minimumVolume = 1) {
  const clock = new FakeClock();
  const options = { quantilePercent: 95, minDelayMs: 10, maxDelayMs: 1_000, minimumVolume, windowMs: 10_000 };
  const hedging = new PoolHedging(options, "", clock, clock);
  const hedged: string[] = [];
  const begin = (name: string) => {
    const one = { sinceMs: clock.now(), hedge: (nowMs: number) => void hedged.push(`${name} at ${nowMs}`) };
    hedging.add(one);
    return one;
  };
  /** Answers have taken this long. */
  const learn = (latencyMs: number): void => {
    for (let count = 0; count < 100; count++) hedging.observe(latencyMs, clock.now());
    clock.advance(100);
  };
  return { clock, hedging, hedged, begin, learn };
}

test("each is hedged once, when it takes longer than nearly all have", () => {
  const { clock, hedged, begin, learn } = setUp();
  learn(1);
  begin("a");
  clock.advance(4);
  begin("b");
  clock.advance(5);
  expect(hedged).toEqual([]);
  clock.advance(1);
  expect(hedged).toEqual(["a at 110"]);
  clock.advance(1_000);
  expect(hedged).toEqual(["a at 110", "b at 114"]);
  expect(clock.waiting).toBe(0);
});

test("not one that has been answered; without any that wait there is no timer", () => {
  const { clock, hedging, hedged, begin, learn } = setUp();
  learn(1);
  const [first] = [begin("a"), begin("b"), begin("c")];
  hedging.remove(first);
  clock.advance(10);
  expect(hedged).toEqual(["b at 110", "c at 110"]);
  hedging.remove(begin("d"));
  clock.advance(10);
  expect([hedged.length, clock.waiting]).toEqual([2, 0]);
});

test("nobody waits before enough is known", () => {
  const { clock, hedged, begin, learn } = setUp(150);
  begin("a");
  learn(1);
  begin("b");
  expect(clock.waiting).toBe(0);
  learn(1);
  begin("c");
  clock.advance(1_000);
  expect(hedged).toEqual(["c at 210"]);
});

test("one that hangs at the front does not keep the others from being hedged when answers become quicker", () => {
  const { clock, hedging, hedged, begin, learn } = setUp();
  learn(900);
  begin("hangs");
  for (let count = 0; count < 10_000; count++) hedging.observe(1, clock.now());
  clock.advance(90);
  begin("a");
  clock.advance(110);
  expect(hedged).toEqual(["hangs at 200", "a at 200"]);
});

test("after the end nobody is", () => {
  const { clock, hedging, hedged, begin, learn } = setUp();
  learn(1);
  begin("a");
  hedging.close();
  clock.advance(1_000);
  expect([hedged.length, clock.waiting]).toEqual([0, 0]);
});
