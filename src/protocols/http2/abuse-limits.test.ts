import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../base/fake-clock.ts";
import { ABUSE, type AbuseKind, AbuseLimits, DEFAULT_ABUSE_LIMITS } from "./abuse-limits.ts";

/** How many of a kind pass before it is too much. */
function passing(limits: AbuseLimits, kind: AbuseKind, nowMs: number): number {
  for (let count = 0; count < 100_000; count++) {
    if (limits.count(kind, nowMs) === "excessive") return count;
  }
  return Number.POSITIVE_INFINITY;
}

for (const [name, kind] of Object.entries(ABUSE)) {
  test(`a flood of ${name} is stopped, and the others are not touched`, () => {
    const clock = new FakeClock();
    const limits = new AbuseLimits(clock.now());
    expect(passing(limits, kind, clock.now())).toBe(DEFAULT_ABUSE_LIMITS[kind]?.burst as number);
    expect(limits.count(kind, clock.now())).toBe("excessive");
    for (const other of Object.values(ABUSE)) {
      if (other !== kind) expect(limits.count(other, clock.now())).toBe("calm");
    }
  });
}

describe("the buckets fill", () => {
  test("with time, up to the burst", () => {
    const clock = new FakeClock();
    const limits = new AbuseLimits(clock.now());
    passing(limits, ABUSE.reset, clock.now());
    clock.advance(1_200);
    // It stands below zero: the one that was refused has been counted as well.
    expect(passing(limits, ABUSE.reset, clock.now())).toBe(11);
    clock.advance(3_600_000);
    expect(passing(limits, ABUSE.reset, clock.now())).toBe(100);
  });

  test("with requests that end as they should: as many resets as those are calm for ever", () => {
    const limits = new AbuseLimits(0);
    for (let round = 0; round < 10_000; round++) {
      limits.requestDone();
      expect(limits.count(ABUSE.reset, 0)).toBe("calm");
    }
    expect(passing(limits, ABUSE.reset, 0)).toBe(99);
  });

  test("with DATA: a long download may be acknowledged piece by piece", () => {
    const limits = new AbuseLimits(0);
    for (let piece = 0; piece < 10_000; piece++) {
      limits.dataMoved(2_048);
      expect(limits.count(ABUSE.windowUpdate, 0)).toBe("calm");
    }
    const idle = new AbuseLimits(0);
    idle.dataMoved(1_000_000);
    expect(passing(idle, ABUSE.settings, 0)).toBe(DEFAULT_ABUSE_LIMITS[ABUSE.settings]?.burst as number);
  });
});

test("steady use below the rate is calm for ever, just above it is not", () => {
  const [slow, fast] = [new AbuseLimits(0), new AbuseLimits(0)];
  let excessive = 0;
  for (let count = 0; count < 3_000; count++) {
    expect(slow.count(ABUSE.ping, count * 101)).toBe("calm");
    if (fast.count(ABUSE.ping, count * 90) === "excessive") excessive++;
  }
  expect(excessive).toBeGreaterThan(0);
});

test("a clock that stands still or goes back gives nothing", () => {
  const limits = new AbuseLimits(1_000);
  passing(limits, ABUSE.ping, 1_000);
  expect(limits.count(ABUSE.ping, 0)).toBe("excessive");
});
