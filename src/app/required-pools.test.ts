import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { silentLog } from "../observability/log.ts";
import { poolSchema } from "../pools/schema.ts";
import { privateMemory } from "./memory.ts";
import { RequiredPools } from "./required-pools.ts";

const spec = (row: number) => ({
  id: `10.0.0.${row}:80`,
  host: "",
  port: 80,
  name: "",
  tier: 0,
  maxConnections: 0,
  row,
});

/** `requires` by pool; each has one endpoint, in the row of its place in the list, which is well. */
function setUp(requires: Readonly<Record<string, readonly string[]>>) {
  const clock = new FakeClock();
  const { endpoints: table } = privateMemory();
  const told: string[] = [];
  const pools = new RequiredPools({
    timers: clock,
    log: silentLog,
    table,
    onChange: (pool, isBlocked, reason) => void told.push(`${pool} ${isBlocked ? "blocked" : "released"}: ${reason}`),
  });
  const names = Object.keys(requires);
  const set = (now: Readonly<Record<string, readonly string[]>>): void => {
    for (const [name, list] of Object.entries(now)) {
      const config = poolSchema.parse({ endpoints: ["10.0.0.1:80"], requires: [...list] });
      pools.setPool(name, config, [spec(names.indexOf(name))]);
    }
    pools.keepOnly(Object.keys(now));
  };
  names.forEach((_, row) => {
    table.setHealthy(row, true);
    table.setWeight(row, 1);
  });
  set(requires);
  const usable = () => names.filter((_, row) => table.isUsable(row));
  return { clock, table, told, pools, set, usable, row: (name: string) => names.indexOf(name) };
}

test("a pool is blocked while what it requires has nothing usable, and released after that", () => {
  const { clock, table, told, pools, usable, row } = setUp({ app: ["db"], db: [] });
  expect([usable(), told]).toEqual([["app", "db"], []]);
  table.setHealthy(row("db"), false);
  clock.advance(250);
  expect(usable()).toEqual([]);
  expect(pools.missing("app")).toEqual(["db"]);
  // Whatever its checks say: it would be of no use.
  expect(table.mayBeTried(row("app"))).toBeFalse();
  clock.advance(1_000);
  table.setHealthy(row("db"), true);
  clock.advance(250);
  expect(usable()).toEqual(["app", "db"]);
  expect(told).toEqual([
    "app blocked: it requires db, which has no usable endpoint",
    "app released: all that it requires can be used",
  ]);
});

test("degraded is good enough; drained, ejected and without weight is not", () => {
  const { clock, table, usable, row } = setUp({ app: ["db"], db: [] });
  const db = row("db");
  const isAppUsable = (): boolean => {
    clock.advance(250);
    return usable().includes("app");
  };
  table.setDegraded(db, true);
  expect(isAppUsable()).toBeTrue();
  table.setEjected(db, true);
  expect(isAppUsable()).toBeFalse();
  table.setEjected(db, false);
  table.setState(db, "drain");
  expect(isAppUsable()).toBeFalse();
  table.setState(db, "ready");
  table.setWeight(db, 0);
  expect(isAppUsable()).toBeFalse();
});

test("a chain falls at once, from its end, and every pool names what it lacks itself", () => {
  const { clock, table, told, pools, row } = setUp({ web: ["app", "cache"], app: ["db"], db: [], cache: [] });
  table.setHealthy(row("db"), false);
  clock.advance(250);
  expect(told).toEqual([
    "app blocked: it requires db, which has no usable endpoint",
    "web blocked: it requires app, which has no usable endpoint",
  ]);
  table.setHealthy(row("cache"), false);
  clock.advance(250);
  expect(pools.list()).toEqual([
    { pool: "web", missing: ["app", "cache"] },
    { pool: "app", missing: ["db"] },
  ]);
  expect(told).toHaveLength(2);
});

test("a reload can end it, and what is gone is forgotten", () => {
  const { clock, table, told, set, pools, usable, row } = setUp({ app: ["db"], db: [] });
  table.setHealthy(row("db"), false);
  clock.advance(250);
  set({ app: [], db: [] });
  expect(usable()).toEqual(["app"]);
  expect(told.at(-1)).toStartWith("app released");
  expect([clock.waiting, pools.list()]).toEqual([0, []]);
  set({ app: ["db"], db: [] });
  expect(usable()).toEqual([]);
  set({ db: [] });
  expect(clock.waiting).toBe(0);
});

test("endpoints that join a blocked pool are blocked from the beginning", () => {
  const { clock, table, pools, row } = setUp({ app: ["db"], db: [], other: [] });
  table.setHealthy(row("db"), false);
  clock.advance(250);
  const config = poolSchema.parse({ endpoints: ["10.0.0.1:80"], requires: ["db"] });
  pools.setPool("app", config, [spec(0), spec(2)]);
  expect(table.isUsable(2)).toBeFalse();
  expect(table.isBlocked(2)).toBeTrue();
  pools.close();
  expect(clock.waiting).toBe(0);
});
