import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { seededRandom } from "../base/random.ts";
import { silentLog } from "../observability/log.ts";
import { loadSheddingSchema } from "../resilience/schema.ts";
import { OverloadMonitor } from "./overload-monitor.ts";

/** Timers that come as late as they are told to. */
class LateClock extends FakeClock {
  override every(intervalMs: number, run: () => void) {
    return super.every(intervalMs, () => {
      this.lateMs = this.nextLateMs;
      run();
    });
  }

  nextLateMs = 0;
  lateMs = 0;

  override now(): number {
    return super.now() + this.lateMs;
  }
}

function setUp(memoryBytes = 0) {
  const clock = new LateClock();
  const said: string[] = [];
  const told: string[] = [];
  const monitor = new OverloadMonitor({
    clock,
    timers: clock,
    random: seededRandom(1),
    log: {
      ...silentLog,
      warn: (message, fields) => void said.push(`${message} ${fields?.["cause"]}`),
      info: (message) => void said.push(message),
    },
    report: ({ type, listener, reason }) => void told.push(`${type} ${listener}: ${reason}`),
    memoryBytes: () => memoryBytes,
  });
  /** Loads a configuration with these settings for one listener. */
  const load = (config: Parameters<typeof loadSheddingSchema.parse>[0]) => {
    const shedding = monitor.prepare("web", loadSheddingSchema.parse(config));
    monitor.commit();
    return shedding;
  };
  return { clock, said, told, monitor, load };
}

test("a late event loop sheds, and stops when it has been in time for a while", () => {
  const { clock, said, told, load } = setUp();
  const shedding = load({});
  clock.advance(1_000);
  expect(shedding?.shedder.pressure).toBe(0);
  clock.nextLateMs = 300;
  clock.advance(100);
  expect(shedding?.shedder.pressure).toBeCloseTo(0.5, 5);
  clock.advance(100);
  clock.nextLateMs = 0;
  clock.advance(6_000);
  expect(shedding?.shedder.pressure).toBe(0);
  expect(said).toEqual(["overloaded: refusing requests delay", "no longer overloaded"]);
  expect(told).toEqual([
    "listener.overloaded web: a worker is over its bound: delay",
    "listener.relieved web: a worker is within its bounds again",
  ]);
});

test("memory sheds too", () => {
  const { clock, said, load } = setUp(900);
  const shedding = load({ memoryFrom: "500B", memoryFull: "1000B" });
  clock.advance(100);
  expect(shedding?.shedder.pressure).toBeCloseTo(0.8, 5);
  expect(said).toEqual(["overloaded: refusing requests memory"]);
});

test("a reload keeps the pressure while the settings stay; off, nothing is measured", () => {
  const { clock, load } = setUp();
  const before = load({});
  expect(load({})).toBe(before);
  expect(load({ recovery: "9s" })).not.toBe(before);
  expect(load(false)).toBeUndefined();
  expect(clock.waiting).toBe(0);
});

test("a configuration that is refused changes nothing", () => {
  const { clock, monitor, load } = setUp();
  const before = load({});
  monitor.prepare("web", false);
  monitor.abort();
  clock.nextLateMs = 300;
  clock.advance(100);
  expect(before?.shedder.pressure).toBeCloseTo(0.5, 5);
  expect(load({})).toBe(before);
});
