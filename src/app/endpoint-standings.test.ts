import { describe, expect, test } from "bun:test";
import type { z } from "zod";
import { FakeClock } from "../base/fake-clock.ts";
import { AgentState } from "../health/agent-state.ts";
import { type AgentWord, parseAgentWord } from "../health/agent-word.ts";
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
  const agent = (id: string, line: string) => {
    const state = new AgentState(clock.now());
    state.hear(parseAgentWord(line) as AgentWord, clock.now());
    return standings.agentChanged(`app ${id}`, state);
  };
  const types = () => events.since(0).events.map(({ type, reason }) => `${type}: ${reason}`);
  return { clock, tables: tables.endpoints, told, standings, set, well, ill, agent, types };
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

describe("what an agent wants", () => {
  const health = { type: "agent" } as const;

  test("drains beside what an operator wants, and the stronger one holds", () => {
    const { set, well, agent, tables, told, standings, types } = setUp({ health });
    set("a", 0, "ready", 1, true);
    well("a");
    agent("a", "drain");
    expect([tables.isEligible(0), tables.keepsSessions(0), told]).toEqual([false, true, ["a closes idle"]]);
    expect(standings.statusOf("app a").drainLeftMs).toBe(30_000);
    set("a", 0, "drain");
    agent("a", "ready");
    expect(tables.isEligible(0)).toBeFalse();
    set("a", 0, "ready");
    expect(tables.isEligible(0)).toBeTrue();
    expect(types().slice(1)).toEqual([
      "endpoint.agent: its agent says drain",
      "endpoint.state: from ready to drain",
      "endpoint.agent: its agent says ready",
      "endpoint.state: from drain to ready",
    ]);
  });

  test("maintenance by its agent closes everything; it is back at once, since it went on being checked", () => {
    const { set, well, agent, tables, told } = setUp({ health });
    set("a", 0, "ready", 1, true);
    well("a");
    agent("a", "maint");
    expect([tables.isEligible(0), tables.mayBeTried(0), told]).toEqual([false, false, ["a closes all"]]);
    agent("a", "ready");
    expect(tables.isEligible(0)).toBeTrue();
  });

  test("maintenance by an operator wins, and ends with a check that passes", () => {
    const { set, well, agent, tables } = setUp({ health });
    set("a", 0, "ready", 1, true);
    well("a");
    agent("a", "maint");
    set("a", 0, "maintenance");
    agent("a", "ready");
    expect(tables.mayBeTried(0)).toBeFalse();
    set("a", 0, "ready");
    expect([tables.mayBeTried(0), tables.isEligible(0)]).toEqual([true, false]);
    well("a");
    expect(tables.isEligible(0)).toBeTrue();
  });

  test("a share of the weight, of whatever the weight is then", () => {
    const { set, well, agent, tables } = setUp({ health });
    set("a", 0, "ready", 4, true);
    well("a");
    expect(tables.weight(0)).toBe(400);
    expect(agent("a", "25%")).toBeTrue();
    expect(tables.weight(0)).toBe(100);
    set("a", 0, "ready", 3);
    expect(tables.weight(0)).toBe(75);
    expect([agent("a", "25%"), agent("a", "0%")]).toEqual([false, true]);
    expect(tables.weight(0)).toBe(0);
    agent("a", "1000%");
    expect(tables.weight(0)).toBe(3_000);
    set("a", 0, "ready", 1_000);
    expect(tables.weight(0)).toBe(100_000);
  });

  test("and of what slow start leaves of it", () => {
    const { set, well, ill, agent, tables, clock } = setUp({ health, slowStart: {} });
    set("a", 0, "ready", 1, true);
    well("a");
    agent("a", "50%");
    ill("a");
    well("a");
    expect(tables.weight(0)).toBe(5);
    clock.advance(30_000);
    expect(tables.weight(0)).toBe(50);
  });
});

describe("degraded", () => {
  const health = { degradedStatus: 429 };

  test("is no reason against it, but it comes last; with the events for it", () => {
    const { set, well, ill, standings, tables, types } = setUp({ health });
    const spare = () => standings.healthChanged("app a", "degraded", "degraded: status 429");
    set("a", 0, "ready", 1, true);
    spare();
    expect([tables.isEligible(0), tables.isDegraded(0), tables.isUsable(0), tables.keepsSessions(0)]).toEqual([
      false,
      true,
      true,
      true,
    ]);
    well("a");
    expect([tables.isEligible(0), tables.isDegraded(0)]).toEqual([true, false]);
    spare();
    ill("a");
    expect([tables.isDegraded(0), tables.isUsable(0)]).toEqual([false, false]);
    expect(types().map((text) => text.split(":")[0])).toEqual([
      "endpoint.degraded",
      "endpoint.up",
      "endpoint.degraded",
      "endpoint.down",
    ]);
  });

  test("a reload by which nothing can be degraded any more makes it healthy", () => {
    const { set, standings, tables } = setUp({ health });
    set("a", 0, "ready", 1, true);
    standings.healthChanged("app a", "degraded", "degraded: status 429");
    set("a", 0, "ready", 1);
    expect(tables.isDegraded(0)).toBeTrue();
    const config = poolSchema.parse({ endpoints: ["10.0.0.1:80"] });
    standings.set({ pool: "app", id: "a", name: "app a", row: 0, config }, { state: "ready", weight: 1 }, false);
    expect([tables.isDegraded(0), tables.isEligible(0)]).toEqual([false, true]);
  });
});

describe("going up and down", () => {
  const health = { flapDamping: {} };

  test("holds it back although it is well, until it is trusted again; then it warms up", () => {
    const { set, well, ill, tables, clock, standings, types } = setUp({ health, slowStart: {} });
    set("a", 0, "ready", 1, true);
    for (let time = 0; time < 4; time++) {
      clock.advance(10_000);
      well("a");
      ill("a");
    }
    well("a");
    expect([tables.isEligible(0), tables.mayBeTried(0)]).toEqual([false, true]);
    expect(standings.statusOf("app a").hold?.reason).toBe(
      "held back: 4 failures within 30s; trusted again in about 1.8m",
    );
    clock.advance(105_700);
    expect(tables.isEligible(0)).toBeFalse();
    clock.advance(100);
    expect(tables.isEligible(0)).toBeTrue();
    expect(tables.weight(0)).toBe(10);
    expect(types().slice(-3)).toEqual([
      "endpoint.held: held back: 4 failures within 30s; trusted again in about 1.8m",
      "endpoint.up: 2 checks passed",
      "endpoint.trusted: it has not failed for long enough",
    ]);
  });

  test("an operator can trust it before", () => {
    const { set, well, ill, tables, standings, clock } = setUp({ health });
    set("a", 0, "ready", 1, true);
    for (let time = 0; time < 4; time++) {
      well("a");
      ill("a");
    }
    well("a");
    expect(tables.isEligible(0)).toBeFalse();
    standings.trust("app a");
    expect([tables.isEligible(0), clock.waiting]).toEqual([true, 0]);
  });

  test("a new endpoint that has never been up does not count as having gone down", () => {
    const { set, ill, standings } = setUp({ health: { flapDamping: { suppressAt: 1, reuseAt: 0.5 } } });
    set("a", 0, "ready", 1, true);
    for (let time = 0; time < 9; time++) ill("a");
    expect(standings.statusOf("app a").hold).toBeUndefined();
  });

  test("a row that is given up is trusted in its next life", () => {
    const { set, well, ill, standings, clock } = setUp({ health });
    set("a", 0, "ready", 1, true);
    for (let time = 0; time < 4; time++) {
      well("a");
      ill("a");
    }
    standings.keepOnly(new Set());
    expect(clock.waiting).toBe(0);
    set("a", 7);
    expect(standings.statusOf("app a").hold).toBeUndefined();
  });
});
