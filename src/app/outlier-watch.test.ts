import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { seededRandom } from "../base/random.ts";
import type { Log } from "../observability/log.ts";
import { type PoolConfig, poolSchema } from "../pools/schema.ts";
import { privateMemory } from "./memory.ts";
import { OutlierWatch } from "./outlier-watch.ts";

type Detection = Record<string, unknown> | false;

class Bench {
  readonly clock = new FakeClock();
  readonly tables = privateMemory();
  readonly said: string[] = [];
  readonly changes: string[] = [];
  readonly passedMs = new Map<string, number>();
  readonly watch: OutlierWatch;

  constructor() {
    const say = (message: string, fields: Parameters<Log["warn"]>[1]): void =>
      void this.said.push(`${message} ${fields?.["endpoint"]}: ${fields?.["reason"]}`);
    this.watch = new OutlierWatch({
      clock: this.clock,
      timers: this.clock,
      random: seededRandom(1),
      log: { debug: say, info: say, warn: say, error: say },
      tables: this.tables,
      lastPassedMs: (_pool, id) => this.passedMs.get(id),
      onChange: ({ pool, endpoint, ejected }) => void this.changes.push(`${pool} ${endpoint} ${ejected}`),
    });
    for (let row = 0; row < 16; row++) this.tables.endpoints.setHealthy(row, true);
  }

  config(detection: Detection): PoolConfig {
    return poolSchema.parse({
      endpoints: ["10.0.0.1:80"],
      outlierDetection: detection === false ? false : { ejectionJitter: "0s", ...detection },
    });
  }

  set(detection: Detection, rows: readonly number[], pool = "app"): void {
    this.watch.setPool(
      pool,
      this.config(detection),
      rows.map((row) => ({ id: `e${row}`, row })),
    );
  }

  fail(row: number, times = 5): void {
    for (let time = 0; time < times; time++) this.tables.resilience.outliers.record(row, "timeout", 0);
  }

  ejected(...rows: readonly number[]): boolean[] {
    return rows.map((row) => this.tables.endpoints.isEjected(row));
  }
}

test("what workers have counted ejects an endpoint, which comes back when its time is over", () => {
  const bench = new Bench();
  bench.set({}, [3, 4, 5]);
  bench.fail(4, 4);
  bench.clock.advance(1_000);
  expect(bench.ejected(3, 4, 5)).toEqual([false, false, false]);
  bench.fail(4, 1);
  bench.clock.advance(250);
  expect(bench.ejected(3, 4, 5)).toEqual([false, true, false]);
  expect([4, 3].map((row) => bench.tables.endpoints.isEligible(row))).toEqual([false, true]);
  bench.clock.advance(30_250);
  expect(bench.tables.endpoints.isEligible(4)).toBeTrue();
  expect(bench.said).toEqual([
    "endpoint is ejected e4: ejected for 30s: 5 timeouts in a row",
    "endpoint returns e4: back after 30s: its time is over",
  ]);
  expect(bench.changes).toEqual(["app e4 true", "app e4 false"]);
  expect(bench.watch.ejections()).toEqual([{ pool: "app", reason: "timeouts", count: 1 }]);
});

test("an endpoint that somebody points at is judged at once, the others in their turn", () => {
  const bench = new Bench();
  bench.set({}, [3, 4, 5]);
  bench.fail(4);
  bench.fail(5);
  bench.watch.look("app", 4);
  expect(bench.ejected(3, 4, 5)).toEqual([false, true, false]);
  for (const [pool, row] of [
    ["app", 9],
    ["gone", 5],
  ] as const)
    bench.watch.look(pool, row);
  expect(bench.ejected(3, 4, 5)).toEqual([false, true, false]);
  bench.watch.look("app", 3);
  expect(bench.changes).toEqual(["app e4 true"]);
});

test("ejection does not make a sick endpoint well, nor the other way round", () => {
  const bench = new Bench();
  bench.set({}, [0, 1, 2]);
  bench.fail(1);
  bench.clock.advance(250);
  bench.tables.endpoints.setHealthy(1, false);
  bench.clock.advance(31_000);
  expect(bench.ejected(1)).toEqual([false]);
  expect(bench.tables.endpoints.isEligible(1)).toBeFalse();
  bench.tables.endpoints.setHealthy(1, true);
  expect(bench.tables.endpoints.isEligible(1)).toBeTrue();
});

test("endpoints that are out for other reasons count as missing", () => {
  const bench = new Bench();
  bench.set({}, [0, 1, 2, 3]);
  for (const row of [0, 1]) bench.tables.endpoints.setHealthy(row, false);
  bench.fail(2);
  bench.clock.advance(250);
  expect(bench.ejected(2)).toEqual([false]);
  expect(bench.said[0]).toStartWith("endpoint is kept e2: ");
});

test("a dry run only reports", () => {
  const bench = new Bench();
  bench.set({ enforcing: false }, [0, 1, 2]);
  bench.fail(1);
  bench.clock.advance(250);
  expect(bench.ejected(1)).toEqual([false]);
  expect(bench.said).toEqual(["endpoint would be ejected e1: would be ejected for 30s: 5 timeouts in a row"]);
  expect(bench.changes).toEqual([]);
});

test("an active check that passes later brings back, where that is wanted", () => {
  for (const returnOnCheck of [true, false]) {
    const bench = new Bench();
    bench.set({ returnOnCheck }, [0, 1, 2]);
    bench.fail(1);
    bench.passedMs.set("e1", 200);
    bench.clock.advance(1_000);
    expect(bench.ejected(1)).toEqual([true]);
    bench.passedMs.set("e1", 1_500);
    bench.clock.advance(1_000);
    expect(bench.ejected(1)).toEqual([!returnOnCheck]);
  }
});

test("survives a reload that changes the endpoints; turned off, all are back", () => {
  const bench = new Bench();
  bench.set({}, [0, 1, 2]);
  bench.fail(1);
  bench.clock.advance(250);
  bench.set({ baseEjection: "40s" }, [5, 1, 2, 0]);
  bench.clock.advance(10_000);
  expect(bench.ejected(0, 1, 2, 5)).toEqual([false, true, false, false]);
  bench.set(false, [5, 1, 2, 0]);
  expect(bench.ejected(1)).toEqual([false]);
  expect(bench.clock.waiting).toBe(0);
});

test("pools that are gone are forgotten, and nothing is left running", () => {
  const bench = new Bench();
  bench.set({}, [0, 1, 2]);
  bench.set({}, [3, 4, 5], "other");
  bench.watch.keepOnly(["other"]);
  bench.fail(1);
  bench.fail(4);
  bench.clock.advance(250);
  expect(bench.ejected(1, 4)).toEqual([false, true]);
  bench.watch.close();
  expect(bench.clock.waiting).toBe(0);
});
