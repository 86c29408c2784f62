import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../base/random.ts";
import { localRegion } from "../base/shared-memory.ts";
import type { Outcome } from "./outcome.ts";
import { outcomeOfStatus } from "./outcome.ts";
import { OutlierCounters } from "./outlier-counters.ts";
import { OutlierDetector, type OutlierOptions } from "./outlier-detector.ts";
import { describeOutlierEvent, type OutlierEvent } from "./outlier-event.ts";

const usual: OutlierOptions = {
  enforcing: true,
  consecutive: { "server-errors": 5, "gateway-errors": 5, "connect-failures": 5, timeouts: 5 },
  intervalMs: 10_000,
  baseEjectionMs: 30_000,
  maxEjectionMs: 300_000,
  ejectionJitterMs: 0,
  maxEjectedPercent: 50,
  minAvailablePercent: 50,
  successRateDeviations: 1.9,
  successRateMinimumHosts: 5,
  successRateMinimumVolume: 100,
  failurePercentage: 0,
  failurePercentageMinimumHosts: 5,
  failurePercentageMinimumVolume: 50,
  latencyFactor: 0,
  latencyFloorMs: 100,
  latencyMinimumHosts: 5,
  latencyMinimumVolume: 50,
};

class Bench {
  readonly events: OutlierEvent[] = [];
  readonly counters: OutlierCounters;
  readonly detector: OutlierDetector;
  nowMs = 1_000;

  constructor(endpoints: number, options: Partial<OutlierOptions> = {}) {
    this.counters = new OutlierCounters(localRegion(OutlierCounters.bytes(endpoints)), endpoints);
    const note = (event: OutlierEvent): void => void this.events.push(event);
    this.detector = new OutlierDetector(this.counters, { ...usual, ...options }, seededRandom(1), note, this.nowMs);
  }

  /** Results of one endpoint, one after another. */
  results(endpoint: number, outcome: Outcome, count: number, latencyMs = 10): void {
    for (let each = 0; each < count; each++) this.detector.record(endpoint, outcome, latencyMs, this.nowMs);
  }

  advance(byMs: number, stepMs = 1_000): void {
    const endMs = this.nowMs + byMs;
    while (this.nowMs < endMs) {
      this.nowMs = Math.min(endMs, this.nowMs + stepMs);
      this.detector.tick(this.nowMs);
    }
  }

  get told(): string[] {
    return this.events.map((event) => `${event.endpoint} ${describeOutlierEvent(event)}`);
  }
}

test("statuses are told apart", () => {
  const outcomes = [200, 404, 499, 500, 501, 502, 503, 504, 505].map(outcomeOfStatus);
  const [success, server, gateway] = ["success", "server-error", "gateway-error"] as const;
  expect(outcomes).toEqual([success, success, success, server, server, gateway, gateway, gateway, server]);
});

describe("failures in a row", () => {
  const kinds: [Outcome, string][] = [
    ["server-error", "ejected for 30s: 5 server errors in a row"],
    ["gateway-error", "ejected for 30s: 5 gateway errors in a row"],
    ["connect-failure", "ejected for 30s: 5 connect failures in a row"],
    ["timeout", "ejected for 30s: 5 timeouts in a row"],
  ];
  for (const [outcome, told] of kinds) {
    test(`${outcome}: the fifth ejects, the fourth does not`, () => {
      const bench = new Bench(4);
      bench.results(2, outcome, 4);
      expect(bench.detector.isEjected(2)).toBeFalse();
      bench.results(2, outcome, 1);
      expect(bench.detector.isEjected(2)).toBeTrue();
      expect(bench.told).toEqual([`2 ${told}`]);
    });

    test(`${outcome}: a success in between begins anew`, () => {
      const bench = new Bench(4);
      for (let round = 0; round < 10; round++) {
        bench.results(2, outcome, 4);
        bench.results(2, "success", 1);
      }
      expect(bench.events).toEqual([]);
    });

    test(`${outcome}: 0 turns the kind off`, () => {
      const off = { "server-errors": 0, "gateway-errors": 0, "connect-failures": 0, timeouts: 0 };
      const bench = new Bench(4, { consecutive: off });
      bench.results(2, outcome, 1_000);
      expect(bench.events).toEqual([]);
    });
  }

  test("a plain 500 ends the gateway errors but not the server errors they count among", () => {
    const bench = new Bench(4);
    for (const outcome of ["gateway-error", "gateway-error", "gateway-error", "gateway-error"] as const)
      bench.results(0, outcome, 1);
    bench.results(0, "server-error", 1);
    expect(bench.told).toEqual(["0 ejected for 30s: 5 server errors in a row"]);
  });

  test("an established connection ends the connect failures, an answer the timeouts", () => {
    const bench = new Bench(4);
    for (let round = 0; round < 3; round++) {
      bench.results(0, "connect-failure", 4);
      bench.results(0, "timeout", 1);
    }
    bench.results(0, "server-error", 1);
    bench.results(0, "timeout", 4);
    expect(bench.events).toEqual([]);
  });

  test("endpoints that alternate between two kinds of failure do not get away with it", () => {
    const bench = new Bench(4);
    for (let round = 0; round < 5; round++) {
      bench.results(0, "timeout", 1);
      bench.results(0, "server-error", 1);
      bench.results(1, "connect-failure", 1);
      bench.results(1, "timeout", 1);
    }
    expect(bench.detector.isEjected(0)).toBeTrue();
    expect(bench.detector.isEjected(1)).toBeTrue();
  });

  test("what other processes counted is judged by the next tick", () => {
    const bench = new Bench(4);
    for (let count = 0; count < 7; count++) bench.counters.record(3, "timeout", 0);
    expect(bench.detector.isEjected(3)).toBeFalse();
    bench.advance(100);
    expect(bench.told).toEqual(["3 ejected for 30s: 7 timeouts in a row"]);
  });
});

describe("how long", () => {
  function eject(bench: Bench): void {
    bench.results(0, "timeout", 5);
  }

  test("comes back when its time is over, with a clean slate", () => {
    const bench = new Bench(4);
    eject(bench);
    bench.advance(29_000);
    expect(bench.detector.isEjected(0)).toBeTrue();
    bench.advance(1_000);
    expect(bench.detector.isEjected(0)).toBeFalse();
    expect(bench.told[1]).toBe("0 back after 30s: its time is over");
    bench.results(0, "timeout", 4);
    expect(bench.detector.isEjected(0)).toBeFalse();
  });

  test("grows by 30 s each time, to 300 s at most", () => {
    const bench = new Bench(4, { intervalMs: 1e9 });
    const times: number[] = [];
    for (let round = 0; round < 12; round++) {
      eject(bench);
      times.push((bench.events.at(-1) as OutlierEvent).forMs / 1_000);
      bench.advance(300_000, 10_000);
    }
    expect(times).toEqual([30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
  });

  test("shrinks by one step for every interval that it stays in", () => {
    const bench = new Bench(4);
    for (let round = 0; round < 3; round++) {
      eject(bench);
      while (bench.detector.isEjected(0)) bench.advance(1_000);
    }
    expect(bench.events.at(-1)!.forMs).toBeGreaterThanOrEqual(60_000);
    bench.advance(100_000);
    eject(bench);
    expect(bench.events.at(-1)).toMatchObject({ kind: "ejected", forMs: 30_000 });
  });

  test("jitter spreads the returns", () => {
    const bench = new Bench(40, { ejectionJitterMs: 5_000 });
    for (let endpoint = 0; endpoint < 20; endpoint++) bench.results(endpoint, "timeout", 5);
    const times = bench.events.map(({ forMs }) => forMs);
    expect(new Set(times).size).toBe(20);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(30_000);
    expect(Math.max(...times)).toBeLessThan(35_000);
  });

  test("an active check that passes brings it back at once", () => {
    const bench = new Bench(4);
    eject(bench);
    bench.advance(7_000);
    bench.detector.activeCheckPassed(0, bench.nowMs);
    bench.detector.activeCheckPassed(0, bench.nowMs);
    expect(bench.told.slice(1)).toEqual(["0 back after 7s: an active check passed"]);
    expect(bench.detector.ejected).toBe(0);
  });

  test("survives a reload", () => {
    const before = new Bench(4);
    eject(before);
    const after = new Bench(3);
    after.detector.adopt(2, before.detector, 0);
    expect([after.detector.isEjected(2), after.detector.ejected]).toEqual([true, 1]);
    after.advance(30_000);
    expect(after.told).toEqual(["2 back after 30s: its time is over"]);
  });
});

describe("how many", () => {
  test("at most half of the pool, and those that are kept are told once per interval", () => {
    const bench = new Bench(5);
    for (let endpoint = 0; endpoint < 5; endpoint++) bench.results(endpoint, "gateway-error", 50);
    expect(bench.detector.ejected).toBe(2);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["ejected", "ejected", "spared", "spared", "spared"]);
    expect(bench.told[2]).toBe(
      "2 kept although an outlier, too few endpoints would be left: 5 gateway errors in a row",
    );
  });

  test("never the only one", () => {
    const bench = new Bench(1);
    bench.results(0, "connect-failure", 100);
    expect(bench.detector.isEjected(0)).toBeFalse();
  });

  test("endpoints that are out for other reasons count as missing", () => {
    const bench = new Bench(10);
    bench.detector.unavailable = 4;
    for (let endpoint = 0; endpoint < 5; endpoint++) bench.results(endpoint, "timeout", 5);
    expect(bench.detector.ejected).toBe(1);
  });

  test("a dry run only reports", () => {
    const bench = new Bench(4, { enforcing: false });
    bench.results(1, "timeout", 25);
    expect(bench.detector.isEjected(1)).toBeFalse();
    expect(bench.told).toEqual(["1 would be ejected for 30s: 5 timeouts in a row"]);
    bench.advance(10_000);
    bench.results(1, "timeout", 5);
    expect(bench.events.length).toBe(2);
  });
});

describe("against the pool", () => {
  test("ejects the one below at the end of the interval", () => {
    const bench = new Bench(5, { consecutive: { ...usual.consecutive, "server-errors": 0 } });
    for (const [endpoint, failures] of [1, 2, 1, 0, 40].entries()) {
      bench.results(endpoint, "success", 100 - failures);
      bench.results(endpoint, "server-error", failures);
    }
    bench.advance(9_000);
    expect(bench.events).toEqual([]);
    bench.advance(1_000);
    expect(bench.told).toEqual(["4 ejected for 30s: success rate 60.0%, the others' bound is 61.5%"]);
  });

  test("a slow endpoint is ejected for it", () => {
    const bench = new Bench(6, { latencyFactor: 3 });
    for (let endpoint = 0; endpoint < 6; endpoint++) bench.results(endpoint, "success", 50, endpoint === 3 ? 700 : 50);
    bench.advance(10_000);
    expect(bench.told).toEqual(["3 ejected for 30s: average latency 700ms, the others' bound is 150ms"]);
  });

  test("an interval is judged by its own results alone", () => {
    const bench = new Bench(5, { failurePercentage: 85, consecutive: { ...usual.consecutive, timeouts: 0 } });
    for (let endpoint = 0; endpoint < 5; endpoint++) bench.results(endpoint, "timeout", 40);
    bench.advance(10_000);
    for (let endpoint = 0; endpoint < 5; endpoint++) bench.results(endpoint, "timeout", 40);
    bench.advance(10_000);
    expect(bench.events).toEqual([]);
  });
});

test("property: whatever happens, half of the pool stays in and every ejection ends", () => {
  const outcome = fc.constantFrom<Outcome>("success", "server-error", "gateway-error", "connect-failure", "timeout");
  const step = fc.record({ endpoint: fc.nat(7), outcome, times: fc.nat(12), waitMs: fc.nat(20_000) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (steps, endpoints) => {
      const bench = new Bench(endpoints, { failurePercentage: 85, ejectionJitterMs: 1_000 });
      const out = (): number =>
        Array.from({ length: endpoints }, (_, each) => bench.detector.isEjected(each)).filter(Boolean).length;
      for (const { endpoint, outcome: how, times, waitMs } of steps) {
        bench.results(endpoint % endpoints, how, times);
        bench.advance(waitMs, 5_000);
        expect(out()).toBe(bench.detector.ejected);
        expect(out() * 2).toBeLessThanOrEqual(endpoints);
      }
      bench.advance(302_000, 1_000);
      expect(out()).toBe(0);
    }),
    { numRuns: 50 },
  );
});
