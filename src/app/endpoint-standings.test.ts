import { describe, expect, test } from "bun:test";
import type { z } from "zod";
import { FakeClock } from "../base/fake-clock.ts";
import { EventLog } from "../observability/event-log.ts";
import { silentLog } from "../observability/log.ts";
import { type PoolConfig, poolSchema } from "../pools/schema.ts";
import type { AdminState } from "../upstreams/admin-state.ts";
import { EndpointStandings } from "./endpoint-standings.ts";
import { privateMemory } from "./memory.ts";

type PoolInput = Partial<z.input<typeof poolSchema>>;

function setUp(pool: PoolInput = {}) {
  const clock = new FakeClock();
  const events = new EventLog(clock);
  const tables = privateMemory();
  const told: string[] = [];
  const standings = new EndpointStandings({
    clock,
    timers: clock,
    log: silentLog,
    events,
    tables,
    onWeights: (name) => void told.push(`weights of ${name}`),
    onLeaving: (_pool, id, which) => void told.push(`${id} closes ${which}`),
  });
  const config: PoolConfig = poolSchema.parse({ endpoints: ["10.0.0.1:80"], ...pool });
  const place = (id: string, row: number) => ({ pool: "app", id, name: `app ${id}`, row, config });
  const set = (id: string, row: number, state: AdminState = "ready", weight = 1, isFirst = false) =>
    standings.set(place(id, row), { state, weight }, isFirst);
  const well = (id: string) => standings.healthChanged(`app ${id}`, "healthy", "2 checks passed");
  const ill = (id: string) => standings.healthChanged(`app ${id}`, "unhealthy", "3 checks failed");
  const types = () => events.since(0).events.map(({ type, reason }) => `${type}: ${reason}`);
  return { clock, tables: tables.endpoints, told, standings, set, well, ill, types };
}

describe("draining", () => {
  test("idle connections close at once, the rest when the time is over", () => {
    const { set, well, tables, told, clock, types, standings } = setUp({ drainTimeout: "5s" });
    set("a", 0, "ready", 1, true);
    well("a");
    tables.acquire(0, 0);
    set("a", 0, "drain");
    expect([tables.isEligible(0), tables.keepsSessions(0)]).toEqual([false, true]);
    expect(told).toEqual(["a closes idle"]);
    expect(standings.statusOf("app a").drainLeftMs).toBe(5_000);
    clock.advance(5_000);
    expect(told).toEqual(["a closes idle", "a closes all"]);
    expect(tables.keepsSessions(0)).toBeFalse();
    expect(types().at(-1)).toBe("endpoint.drained: the drain timeout is over: 1 still in flight are closed");
    set("a", 0, "ready");
    expect([tables.isEligible(0), tables.isLeaving(0)]).toEqual([true, false]);
    expect(clock.waiting).toBe(0);
  });

  test("is told once when nothing is in flight any more", () => {
    const { set, well, tables, clock, types } = setUp({ drainTimeout: "5s" });
    set("a", 0);
    well("a");
    tables.acquire(0, 0);
    set("a", 0, "drain");
    clock.advance(1_000);
    tables.release(0, 0);
    clock.advance(60_000);
    expect(types().slice(-2)).toEqual([
      "endpoint.state: from ready to drain",
      "endpoint.drained: nothing is in flight on it",
    ]);
    expect(clock.waiting).toBe(0);
  });

  test("one that was removed meanwhile is forgotten", () => {
    const { set, clock, standings, told } = setUp();
    set("a", 0);
    set("a", 0, "drain");
    standings.keepOnly(new Set());
    clock.advance(60_000);
    expect(told).toEqual(["a closes idle"]);
    expect(clock.waiting).toBe(0);
  });
});

test("maintenance closes at once, and what was known of its health is gone", () => {
  const { set, well, tables, told } = setUp();
  set("a", 0);
  well("a");
  set("a", 0, "maintenance");
  expect(told).toEqual(["a closes all"]);
  set("a", 0, "ready");
  expect(tables.isEligible(0)).toBeFalse();
  well("a");
  expect(tables.isEligible(0)).toBeTrue();
});

describe("slow start", () => {
  const slow = { slowStart: { window: "10s", minPercent: 10 } };

  test("is off when nothing is said", () => {
    const { set, well, tables, clock } = setUp();
    set("a", 0, "ready", 5);
    well("a");
    expect(tables.weight(0)).toBe(5);
    expect(clock.waiting).toBe(0);
  });

  test("spares a pool that begins, then warms up what recovers", () => {
    const { set, well, ill, tables, clock, standings } = setUp(slow);
    set("a", 0, "ready", 2, true);
    well("a");
    expect(tables.weight(0)).toBe(200);
    ill("a");
    well("a");
    expect(tables.weight(0)).toBe(20);
    clock.advance(5_000);
    expect(tables.weight(0)).toBe(100);
    expect(standings.statusOf("app a").warmth).toBeCloseTo(0.5, 2);
    clock.advance(5_000);
    expect(tables.weight(0)).toBe(200);
    expect(clock.waiting).toBe(0);
  });

  test("holds for what is added, and for what comes back from draining", () => {
    const { set, well, tables, clock } = setUp(slow);
    set("b", 1, "ready", 1, false);
    well("b");
    expect(tables.weight(1)).toBe(10);
    clock.advance(20_000);
    expect(tables.weight(1)).toBe(100);
    set("b", 1, "drain");
    set("b", 1, "ready");
    expect(tables.weight(1)).toBe(10);
    expect(set("b", 1, "ready", 10)).toBeTrue();
    expect(tables.weight(1)).toBe(100);
  });

  test("one that was ill when its pool began is not spared later", () => {
    const { set, well, ill, tables } = setUp(slow);
    set("a", 0, "ready", 1, true);
    ill("a");
    well("a");
    expect(tables.weight(0)).toBe(10);
  });

  test("follows an ejection, even when a check passed in between", () => {
    const { set, well, standings, clock, tables, types } = setUp(slow);
    set("a", 0, "ready", 1, true);
    well("a");
    standings.ejectionChanged("app a", true, "5 server errors in a row");
    well("a");
    expect(standings.statusOf("app a").ejection).toEqual({ reason: "5 server errors in a row", sinceMs: clock.now() });
    expect(tables.weight(0)).toBe(100);
    standings.ejectionChanged("app a", false, "its time is over");
    expect(standings.statusOf("app a").ejection).toBeUndefined();
    expect(tables.weight(0)).toBe(10);
    clock.advance(30_000);
    expect(tables.weight(0)).toBe(100);
    expect(types().slice(-2)).toEqual([
      "endpoint.ejected: 5 server errors in a row",
      "endpoint.returned: its time is over",
    ]);
  });

  test("rings are built anew in ten steps, not in a hundred", () => {
    const { set, well, told, clock, tables } = setUp({ ...slow, balance: "ring-hash" });
    set("a", 0, "ready", 1, false);
    well("a");
    clock.advance(30_000);
    expect(told.length).toBeLessThanOrEqual(11);
    expect(told.length).toBeGreaterThan(8);
    expect(tables.weight(0)).toBe(100);
  });
});

test("every change is an event with its reason", () => {
  const { set, well, ill, types } = setUp();
  set("a", 0, "ready", 1, true);
  well("a");
  ill("a");
  set("a", 0, "drain", 4);
  expect(types()).toEqual([
    "endpoint.up: 2 checks passed",
    "endpoint.down: 3 checks failed",
    "endpoint.state: from ready to drain",
    "endpoint.weight: from 1 to 4",
  ]);
});
