import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { HealthMonitor } from "./monitor.ts";
import type { ProbeResult } from "./probes/definition.ts";
import { type HealthConfig, healthSchema } from "./schema.ts";

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const endpoint = (port: number) => ({ id: `10.0.0.1:${port}`, host: "10.0.0.1", name: "app.test", port });
const config = healthSchema.parse({ type: "tcp" });

/** `results` says what the next checks of each port come to; a port that is not in it passes. */
function setUp() {
  const clock = new FakeClock();
  const results: Record<number, ProbeResult> = {};
  const probed: { port: number; atMs: number }[] = [];
  const changes: string[] = [];
  const monitor = new HealthMonitor({
    clock,
    timers: clock,
    random: { next: () => 0.5, below: () => 0 },
    path: "",
    onChange: ({ id, status, reason }) => void changes.push(`${id} ${status}${reason === "" ? "" : `: ${reason}`}`),
    probe: async ({ port }) => {
      probed.push({ port, atMs: clock.now() });
      return results[port];
    },
  });
  const run = async (seconds: number): Promise<void> => {
    for (let step = 0; step < seconds * 10; step++) {
      clock.advance(100);
      await settle();
    }
  };
  return { clock, results, probed, changes, monitor, run };
}

describe("the monitor", () => {
  test("one passed check admits a new endpoint; then it is looked at every five seconds", async () => {
    const { monitor, changes, probed, run } = setUp();
    monitor.setPool("app", config, [endpoint(80)]);
    await settle();
    expect(changes).toEqual(["10.0.0.1:80 healthy: first check passed"]);
    await run(20);
    expect(probed.map(({ atMs }) => atMs)).toEqual([0, 5_000, 10_000, 15_000, 20_000]);
    monitor.close();
  });

  test("three failures in a row take it out, looked at every second meanwhile; two passes bring it back", async () => {
    const { monitor, changes, probed, results, run } = setUp();
    monitor.setPool("app", config, [endpoint(80)]);
    await settle();
    results[80] = "connecting failed";
    await run(7);
    expect(probed.map(({ atMs }) => atMs)).toEqual([0, 5_000, 6_000, 7_000]);
    expect(changes.at(-1)).toBe("10.0.0.1:80 unhealthy: 3 checks failed: connecting failed");
    delete results[80];
    await run(10);
    expect(changes).toHaveLength(3);
    expect(changes.at(-1)).toStartWith("10.0.0.1:80 healthy");
    monitor.close();
  });

  test("flapping between two failures and a pass changes nothing", async () => {
    const { monitor, changes, results, run } = setUp();
    monitor.setPool("app", config, [endpoint(80)]);
    await settle();
    for (let round = 0; round < 10; round++) {
      results[80] = "no";
      await run(6);
      delete results[80];
      await run(6);
    }
    expect(changes.filter((change) => change.includes("unhealthy")).length).toBeLessThanOrEqual(10);
    monitor.close();
  });

  test("a reload that changes nothing about the check keeps what is known", async () => {
    const { monitor, changes, probed } = setUp();
    monitor.setPool("app", config, [endpoint(80)]);
    await settle();
    monitor.setPool("app", structuredClone(config), [endpoint(80), endpoint(81)]);
    await settle();
    expect(changes).toEqual(["10.0.0.1:80 healthy: first check passed", "10.0.0.1:81 healthy: first check passed"]);
    expect(probed.map(({ port }) => port)).toEqual([80, 81]);
    monitor.close();
  });

  test("another way of checking begins anew", async () => {
    const { monitor, changes } = setUp();
    monitor.setPool("app", config, [endpoint(80)]);
    await settle();
    monitor.setPool("app", healthSchema.parse({ path: "/ready" }), [endpoint(80)]);
    await settle();
    expect(changes).toEqual(["10.0.0.1:80 healthy: first check passed", "10.0.0.1:80 healthy: first check passed"]);
    monitor.close();
  });

  test("without checks every endpoint counts as healthy", () => {
    const { monitor, changes, probed } = setUp();
    monitor.setPool("app", false satisfies HealthConfig, [endpoint(80)]);
    expect(changes).toEqual(["10.0.0.1:80 healthy: not checked"]);
    expect(probed).toHaveLength(0);
  });

  test("what is removed is not checked any more, and a late result is ignored", async () => {
    const { monitor, changes, clock, run, probed } = setUp();
    monitor.setPool("app", config, [endpoint(80)]);
    monitor.removePool("app");
    await run(30);
    expect(changes).toEqual([]);
    expect(probed).toHaveLength(1);
    expect(clock.waiting).toBe(0);
  });

  test("no more than 64 checks run at a time, and all get their turn", async () => {
    const clock = new FakeClock();
    let running = 0;
    let most = 0;
    let done = 0;
    const held: (() => void)[] = [];
    const monitor = new HealthMonitor({
      clock,
      timers: clock,
      random: { next: () => 0.5, below: () => 0 },
      path: "",
      onChange: () => {},
      probe: async () => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => held.push(resolve));
        running--;
        done++;
        return undefined;
      },
    });
    monitor.setPool(
      "app",
      config,
      Array.from({ length: 200 }, (_, index) => endpoint(index + 1)),
    );
    while (done < 200) {
      for (const release of held.splice(0)) release();
      await settle();
    }
    expect(most).toBe(64);
    monitor.close();
  });
});
