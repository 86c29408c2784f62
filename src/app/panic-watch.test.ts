import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { silentLog } from "../observability/log.ts";
import { poolSchema } from "../pools/schema.ts";
import { privateMemory } from "./memory.ts";
import { PanicWatch } from "./panic-watch.ts";

const specs = [0, 1, 2, 3].map((row) => ({
  id: `e${row}`,
  host: "10.0.0.1",
  port: 80,
  name: "a",
  tier: row === 3 ? 1 : 0,
  maxConnections: 0,
  row,
}));

test("says when panic begins and ends, once each", () => {
  const clock = new FakeClock();
  const { endpoints: table } = privateMemory();
  const said: string[] = [];
  const watch = new PanicWatch({
    timers: clock,
    log: { ...silentLog, error: (message) => void said.push(message.split(":", 1)[0] as string) },
    table,
    onChange: (pool, panics, reason) => void said.push(`${pool} ${panics} ${reason}`),
  });
  const config = poolSchema.parse({ endpoints: ["10.0.0.1:80"], panic: {} });
  watch.setPool("app", config, specs);
  watch.setPool("calm", poolSchema.parse({ endpoints: ["10.0.0.1:80"] }), specs);
  for (const { row } of specs) {
    table.setWeight(row, 1);
    table.setHealthy(row, true);
  }
  const look = (): string[] => {
    clock.advance(1_000);
    return said.splice(0);
  };
  expect(look()).toEqual([]);
  for (const row of [0, 1, 2]) table.setHealthy(row, false);
  // The backup carries everything: no reason to panic.
  expect(look()).toEqual([]);
  table.setHealthy(3, false);
  expect(look()).toEqual(["a pool panics", "app true 0 of 4 endpoints are available"]);
  watch.setPool("app", config, specs);
  expect(look()).toEqual([]);
  expect(watch.list()).toEqual([{ pool: "app", panics: true }]);
  table.setHealthy(3, true);
  expect(look()).toEqual(["app false 1 of 4 endpoints are available"]);
  watch.keepOnly([]);
  expect(clock.waiting).toBe(0);
});

test("degraded endpoints keep a pool from it, and a blocked pool does not panic", () => {
  const clock = new FakeClock();
  const { endpoints: table } = privateMemory();
  const said: string[] = [];
  const watch = new PanicWatch({
    timers: clock,
    log: silentLog,
    table,
    onChange: (_pool, panics, reason) => void said.push(`${panics} ${reason}`),
  });
  watch.setPool("app", poolSchema.parse({ endpoints: ["10.0.0.1:80"], panic: {} }), specs);
  for (const { row } of specs) {
    table.setWeight(row, 1);
    table.setHealthy(row, row < 3);
    table.setDegraded(row, true);
  }
  clock.advance(1_000);
  expect(said).toEqual([]);
  for (const { row } of specs) table.setHealthy(row, false);
  clock.advance(1_000);
  expect(said).toEqual(["true 0 of 4 endpoints are available"]);
  for (const { row } of specs) table.setBlocked(row, true);
  clock.advance(1_000);
  expect(said.slice(1)).toEqual(["false 0 of 0 endpoints are available"]);
  watch.close();
});
