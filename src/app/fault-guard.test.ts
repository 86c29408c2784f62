import { beforeEach, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { silentLog } from "../observability/log.ts";
import { FaultGuard } from "./fault-guard.ts";

let clock: FakeClock;
let said: string[];
let exits: number[];
let guard: FaultGuard;

beforeEach(() => {
  clock = new FakeClock();
  said = [];
  exits = [];
  const log = {
    ...silentLog,
    error: (message: string, fields = {}) => void said.push(message + JSON.stringify(fields)),
  };
  guard = new FaultGuard({ clock, log, exit: (code) => void exits.push(code) });
});

test("one is told with where it came from, and nothing ends", () => {
  guard.uncaught(new TypeError("what nobody thought of"));
  expect(said[0]).toMatch(/^a fault of evenkeel\{"stack":"TypeError: what nobody thought of.*fault-guard\.test/);
  guard.uncaught("thrown without an error");
  expect(said[1]).toBe('a fault of evenkeel{"stack":"thrown without an error"}');
  expect(exits).toEqual([]);
});

test("many in a minute end the process; the same number over a longer time does not", () => {
  for (let count = 0; count < 30; count++) {
    clock.advance(6_000);
    guard.uncaught(new Error("now and then"));
  }
  expect(exits).toEqual([]);
  clock.advance(60_000);
  for (let count = 0; count < 11; count++) guard.uncaught(new Error("again and again"));
  expect(exits).toEqual([70]);
});

test.each([
  [3, 0],
  [11, 70],
])("a process with %i of them ends with %i", async (faults, code) => {
  const script = `
    import { FaultGuard } from ${JSON.stringify(`${import.meta.dir}/fault-guard.ts`)};
    const log = { error: (message) => console.log(message) };
    new FaultGuard({ clock: { now: () => 0 }, log, exit: (code) => process.exit(code) }).install();
    for (let fault = 0; fault < ${faults}; fault++) {
      if (fault % 2 === 0) setTimeout(() => { throw new Error("in a timer"); }, 1);
      else Promise.reject(new Error("of a promise"));
    }
    setTimeout(() => process.exit(0), 100);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(code);
  expect(text.split("a fault of evenkeel\n").length - 1).toBe(Math.min(faults, 10));
});

test("those of connections end no process, however many; the log has ten a minute, and their number", () => {
  for (let count = 0; count < 1_000; count++) guard.ofConnection(new Error("somebody's request"));
  expect(said).toHaveLength(10);
  clock.advance(60_000);
  guard.ofConnection(new Error("another one"));
  expect(said.slice(10)).toEqual([
    'further faults of evenkeel were not told{"faults":990}',
    expect.stringContaining("a fault of evenkeel ended a connection"),
  ]);
  expect(exits).toEqual([]);
});
