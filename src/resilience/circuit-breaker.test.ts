import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { localRegion, type Region } from "../base/shared-memory.ts";
import {
  type Admission,
  type BreakerEvent,
  CircuitBreaker,
  type CircuitBreakerOptions,
  describeBreakerEvent,
  PASSED,
  REFUSED,
} from "./circuit-breaker.ts";

const usual: CircuitBreakerOptions = {
  consecutiveFailures: 5,
  failureRatePercent: 50,
  slowRatePercent: 50,
  slowMs: 3_000,
  windowMs: 10_000,
  minimumVolume: 20,
  openMs: 30_000,
  trials: 3,
};

class Bench {
  readonly events: BreakerEvent[] = [];
  readonly breaker: CircuitBreaker;
  nowMs: number;

  constructor(options: Partial<CircuitBreakerOptions> = {}, region?: Region, nowMs = 5_000) {
    this.nowMs = nowMs;
    const memory = region ?? localRegion(CircuitBreaker.bytes());
    this.breaker = new CircuitBreaker(memory, { ...usual, ...options }, (event) => this.events.push(event));
  }

  admit(): Admission {
    return this.breaker.admit(this.nowMs);
  }

  /** One request from its admission to its end. */
  request(failed = false, latencyMs = 10): Admission {
    const admission = this.admit();
    if (admission !== REFUSED) this.breaker.record(admission, failed, latencyMs, this.nowMs);
    return admission;
  }

  requests(pattern: string, latencyMs = 10): void {
    for (const letter of pattern) this.request(letter === "x", latencyMs);
  }

  get told(): string[] {
    return this.events.map(describeBreakerEvent);
  }
}

describe("opens", () => {
  test("on failures in a row", () => {
    const bench = new Bench();
    bench.requests("xxxx.xxxx");
    expect(bench.breaker.state).toBe("closed");
    bench.requests("x");
    expect(bench.breaker.state).toBe("open");
    expect(bench.request()).toBe(REFUSED);
    expect(bench.told).toEqual(["open: 5 failures in a row"]);
  });

  test("on half of the requests failing, once there are enough of them", () => {
    const bench = new Bench();
    bench.requests(".x".repeat(9));
    expect(bench.breaker.state).toBe("closed");
    bench.requests(".x");
    expect(bench.told).toEqual(["open: 50% of requests failed"]);
  });

  test("not on less than half", () => {
    const bench = new Bench();
    bench.requests("..x".repeat(300));
    expect(bench.events).toEqual([]);
  });

  test("on half of the answers being slow", () => {
    const bench = new Bench();
    for (let count = 0; count < 10; count++) bench.request(false, 3_000);
    for (let count = 0; count < 9; count++) bench.request(false, 3_001);
    expect(bench.breaker.state).toBe("closed");
    bench.request(false, 3_001);
    expect(bench.told).toEqual(["open: 50% of answers were slow"]);
  });

  test("not on what is longer ago than the window", () => {
    const bench = new Bench({ consecutiveFailures: 0 });
    for (let second = 0; second < 100; second++) {
      bench.nowMs += 1_000;
      bench.requests("x");
    }
    expect(bench.breaker.state).toBe("closed");
    bench.requests("xxxxxxxxxx");
    expect(bench.breaker.state).toBe("open");
  });

  test("not by what is turned off", () => {
    const bench = new Bench({ consecutiveFailures: 0, failureRatePercent: 0, slowRatePercent: 0 });
    bench.requests("x".repeat(500), 60_000);
    expect(bench.events).toEqual([]);
  });
});

describe("half-open", () => {
  function opened(options: Partial<CircuitBreakerOptions> = {}): Bench {
    const bench = new Bench(options);
    bench.requests("xxxxx");
    return bench;
  }

  test("begins when the time is over, and lets a bounded number pass", () => {
    const bench = opened();
    expect(bench.breaker.opensInMs(bench.nowMs)).toBe(30_000);
    bench.nowMs += 29_999;
    expect([bench.admit(), bench.breaker.opensInMs(bench.nowMs)]).toEqual([REFUSED, 1]);
    bench.nowMs += 1;
    const admissions = Array.from({ length: 6 }, () => bench.admit());
    expect(admissions.map((admission) => admission > PASSED)).toEqual([true, true, true, false, false, false]);
    expect(admissions.slice(3)).toEqual([REFUSED, REFUSED, REFUSED]);
    expect([bench.breaker.state, bench.breaker.opensInMs(bench.nowMs)]).toEqual(["half-open", 0]);
  });

  test("closes when all trials succeed, and remembers nothing", () => {
    const bench = opened();
    bench.nowMs += 30_000;
    bench.requests("...");
    expect(bench.breaker.state).toBe("closed");
    bench.requests("xxxx");
    expect(bench.breaker.state).toBe("closed");
    expect(bench.told.slice(1)).toEqual([
      "half-open: 3 requests may pass on trial",
      "closed: 3 trial requests succeeded",
    ]);
  });

  test("opens again with the first trial that fails or is slow", () => {
    for (const [failed, latencyMs] of [
      [true, 10],
      [false, 3_001],
    ] as const) {
      const bench = opened();
      bench.nowMs += 30_000;
      bench.requests("..");
      bench.request(failed, latencyMs);
      expect(bench.told.at(-1)).toBe("open: a trial request failed");
      bench.nowMs += 29_999;
      expect(bench.request()).toBe(REFUSED);
    }
  });

  test("a trial that was not sent gives its place to another", () => {
    const bench = opened({ trials: 1 });
    bench.nowMs += 30_000;
    const first = bench.admit();
    expect(bench.admit()).toBe(REFUSED);
    bench.breaker.cancel(first);
    expect(bench.request()).toBeGreaterThan(PASSED);
    expect(bench.breaker.state).toBe("closed");
  });

  test("trials that never end are replaced, and decide nothing when they end after all", () => {
    const bench = opened({ trials: 2 });
    bench.nowMs += 30_000;
    const lost = [bench.admit(), bench.admit()];
    bench.nowMs += 29_999;
    expect(bench.admit()).toBe(REFUSED);
    bench.nowMs += 1;
    const next = [bench.admit(), bench.admit()];
    expect(next.every((admission) => admission > PASSED && !lost.includes(admission))).toBeTrue();
    for (const admission of lost) {
      bench.breaker.record(admission, true, 10, bench.nowMs);
      bench.breaker.cancel(admission);
    }
    expect([bench.breaker.state, bench.admit()]).toEqual(["half-open", REFUSED]);
    for (const admission of next) bench.breaker.record(admission, false, 10, bench.nowMs);
    expect(bench.breaker.state).toBe("closed");
  });

  test("what was sent before it opened decides nothing", () => {
    const bench = new Bench();
    const early = [bench.admit(), bench.admit()];
    bench.requests("xxxxx");
    bench.breaker.record(early[0]!, false, 10, bench.nowMs);
    expect(bench.breaker.state).toBe("open");
    bench.nowMs += 30_000;
    bench.admit();
    bench.breaker.record(early[1]!, true, 10, bench.nowMs);
    expect(bench.breaker.state).toBe("half-open");
  });
});

test("workers share one state and one number of trials, and each change is told once", () => {
  const region = localRegion(CircuitBreaker.bytes());
  const [one, two] = [new Bench({}, region), new Bench({}, region)];
  for (let count = 0; count < 3; count++) {
    one.requests("x");
    two.requests("x");
  }
  expect([one.breaker.state, two.breaker.state]).toEqual(["open", "open"]);
  one.nowMs += 30_000;
  two.nowMs += 30_000;
  const admissions = [one.admit(), two.admit(), one.admit(), two.admit()];
  expect(admissions.filter((admission) => admission !== REFUSED).length).toBe(3);
  for (const admission of admissions) if (admission !== REFUSED) two.breaker.record(admission, false, 1, two.nowMs);
  expect(one.breaker.state).toBe("closed");
  expect([...one.events, ...two.events].map(({ to }) => to).sort()).toEqual(["closed", "half-open", "open"]);
});

test("times beyond 32 bits, as the wall clock has them", () => {
  const bench = new Bench({}, undefined, 2 ** 41 + 2 ** 31 - 10_000);
  bench.requests("xxxxx");
  bench.nowMs += 29_999;
  expect(bench.request()).toBe(REFUSED);
  bench.nowMs += 1;
  bench.requests("...");
  expect(bench.breaker.state).toBe("closed");
  const rates = new Bench({ consecutiveFailures: 0, windowMs: 100 }, undefined, 2 ** 41);
  rates.requests("x".repeat(20));
  expect(rates.breaker.state).toBe("open");
});

test("property: while it is not closed, no more than the trials pass in any round", () => {
  const step = fc.record({ waitMs: fc.nat(20_000), burst: fc.nat(8), failed: fc.boolean(), ends: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 5 }), (steps, trials) => {
      const bench = new Bench({ trials });
      const rounds = new Map<Admission, number>();
      for (const { waitMs, burst, failed, ends } of steps) {
        bench.nowMs += waitMs;
        for (let count = 0; count < burst; count++) {
          const admission = bench.admit();
          if (admission === REFUSED) expect(bench.breaker.state).not.toBe("closed");
          if (admission > PASSED) rounds.set(admission, (rounds.get(admission) ?? 0) + 1);
          if (admission !== REFUSED && ends) bench.breaker.record(admission, failed, 10, bench.nowMs);
        }
      }
      for (const passed of rounds.values()) expect(passed).toBeLessThanOrEqual(trials);
      for (const [index, event] of bench.events.entries()) {
        expect(event.from).toBe(index === 0 ? "closed" : bench.events[index - 1]!.to);
      }
    }),
  );
});
