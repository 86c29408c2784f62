import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { describeAgent } from "./agent-state.ts";
import { type AgentWord, parseAgentWord } from "./agent-word.ts";
import { HealthMonitor } from "./monitor.ts";
import type { ProbeResult } from "./probes/definition.ts";
import { type HealthConfig, healthSchema } from "./schema.ts";

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const endpoint = (port: number) => ({ id: `10.0.0.1:${port}`, host: "10.0.0.1", name: "app.test", port });
const config = healthSchema.parse({ type: "tcp" });

/** Ports whose checks take as long as the test wants. */
class HeldPorts extends Set<number> {
  release: (result: ProbeResult) => void = () => {};

  wait(): Promise<ProbeResult> {
    return new Promise((resolve) => {
      this.release = resolve;
    });
  }
}

/** `results` says what the next checks of each port come to; a port that is not in it passes. */
function setUp() {
  const clock = new FakeClock();
  const results: Record<number, ProbeResult> = {};
  const probed: { port: number; atMs: number }[] = [];
  const changes: string[] = [];
  const words: string[] = [];
  const hold = new HeldPorts();
  const monitor = new HealthMonitor({
    clock,
    timers: clock,
    random: { next: () => 0.5, below: () => 0 },
    path: "",
    onChange: ({ id, status, reason }) => void changes.push(`${id} ${status}${reason === "" ? "" : `: ${reason}`}`),
    onAgent: ({ id, agent }) => void words.push(`${id} ${describeAgent(agent)}`),
    probe: async ({ port }) => {
      probed.push({ port, atMs: clock.now() });
      return hold.has(port) ? hold.wait() : results[port];
    },
  });
  const run = async (seconds: number): Promise<void> => {
    for (let step = 0; step < seconds * 10; step++) {
      clock.advance(100);
      await settle();
    }
  };
  return { clock, results, probed, changes, words, hold, monitor, run };
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

describe("Retry-After", () => {
  const asks = (seconds: number) => ({ failed: "status 503", retryAfterMs: seconds * 1_000 });
  const atMs = ({ probed }: ReturnType<typeof setUp>): number[] => probed.map((probe) => probe.atMs);

  test("puts off the next check of an endpoint that is down, not of one that still gets requests", async () => {
    const bench = setUp();
    const { monitor, results, run, changes } = bench;
    monitor.setPool("app", config, [endpoint(80)]);
    await settle();
    results[80] = asks(30);
    await run(60);
    // Out after three failures as ever; then every 30 seconds instead of every five.
    expect(atMs(bench)).toEqual([0, 5_000, 6_000, 7_000, 37_000]);
    delete results[80];
    await run(9);
    expect(atMs(bench).slice(5)).toEqual([67_000, 68_000]);
    expect(changes.at(-1)).toBe("10.0.0.1:80 healthy: 2 checks passed");
    monitor.close();
  });

  test("does not make checks come sooner", async () => {
    const bench = setUp();
    bench.results[80] = asks(1);
    bench.monitor.setPool("app", config, [endpoint(80)]);
    await settle();
    await bench.run(12);
    expect(atMs(bench)).toEqual([0, 1_000, 2_000, 7_000, 12_000]);
    bench.monitor.close();
  });
});

describe("an agent", () => {
  const beside = healthSchema.parse({ type: "tcp", agent: { port: 99, interval: "2s" } });
  const says = (line: string) => ({ word: parseAgentWord(line) as AgentWord });

  test("is asked on its own port and clock, beside the check", async () => {
    const { monitor, results, probed, words, changes, run } = setUp();
    results[99] = says("drain 50%#too warm");
    monitor.setPool("app", beside, [endpoint(80)]);
    await settle();
    await run(6);
    expect(probed.filter(({ port }) => port === 99).map(({ atMs }) => atMs)).toEqual([0, 2_000, 4_000, 6_000]);
    expect(probed.filter(({ port }) => port === 80).map(({ atMs }) => atMs)).toEqual([0, 5_000]);
    expect(words).toEqual(["10.0.0.1:80 says drain 50%: too warm"]);
    expect(changes).toEqual(["10.0.0.1:80 healthy: first check passed"]);
    expect(monitor.status("app", "10.0.0.1:80")?.agent).toMatchObject({ state: "drain", weightPercent: 50 });
    monitor.close();
  });

  test("is heard once before its endpoint is used, or is known not to answer", async () => {
    const { monitor, clock, changes, hold } = setUp();
    hold.add(99);
    monitor.setPool("app", beside, [endpoint(80)]);
    await settle();
    expect(changes).toEqual([]);
    expect(monitor.status("app", "10.0.0.1:80")).toMatchObject({
      status: "checking",
      reason: "its agent has not answered yet",
    });
    clock.advance(500);
    hold.release("no answer in time");
    await settle();
    expect(changes).toEqual(["10.0.0.1:80 healthy: first check passed"]);
    monitor.close();
  });

  test("takes it down and up at once, but not up against its check", async () => {
    const { monitor, results, changes, run } = setUp();
    results[99] = says("up");
    monitor.setPool("app", beside, [endpoint(80)]);
    await settle();
    results[99] = says("down#disk full");
    await run(2);
    expect(changes.at(-1)).toBe("10.0.0.1:80 unhealthy: its agent says down: disk full");
    expect(monitor.status("app", "10.0.0.1:80")).toMatchObject({ status: "unhealthy", sinceMs: 2_000 });
    results[80] = "connecting failed";
    await run(8);
    expect(changes).toHaveLength(2);
    results[99] = says("up");
    await run(2);
    expect(changes).toHaveLength(2);
    expect(monitor.status("app", "10.0.0.1:80")?.reason).toBe("3 checks failed: connecting failed");
    delete results[80];
    await run(10);
    expect(changes.slice(2)).toEqual(["10.0.0.1:80 healthy: 2 checks passed"]);
    monitor.close();
  });

  test("that cannot be reached leaves everything as it last said, and its endpoint's health alone", async () => {
    const { monitor, results, words, changes, run } = setUp();
    results[99] = says("20%");
    monitor.setPool("app", beside, [endpoint(80)]);
    await settle();
    results[99] = "connecting failed";
    await run(20);
    expect(words).toEqual([
      "10.0.0.1:80 says 20%",
      "10.0.0.1:80 cannot be heard (connecting failed), its last words hold: 20%",
    ]);
    expect(monitor.status("app", "10.0.0.1:80")?.agent).toMatchObject({ weightPercent: 20, heardMs: 0 });
    expect(changes).toEqual(["10.0.0.1:80 healthy: first check passed"]);
    monitor.close();
  });

  test("as the only check: what cannot be heard has failed", async () => {
    const { monitor, results, words, changes, run } = setUp();
    results[80] = says("ready up 30%");
    monitor.setPool("app", healthSchema.parse({ type: "agent" }), [endpoint(80)]);
    await settle();
    expect(changes).toEqual(["10.0.0.1:80 healthy: first check passed"]);
    expect(monitor.status("app", "10.0.0.1:80")?.history[0]?.reason).toBe("its agent says ready up 30%");
    results[80] = "no answer in time";
    await run(7);
    expect(changes.at(-1)).toBe("10.0.0.1:80 unhealthy: 3 checks failed: no answer in time");
    expect(words).toHaveLength(2);
    monitor.close();
  });

  test("its word survives a reload that changes the check, and ends when no agent is left", async () => {
    const { monitor, results, changes } = setUp();
    results[99] = says("maint down");
    monitor.setPool("app", beside, [endpoint(80)]);
    await settle();
    results[99] = "connecting failed";
    monitor.setPool("app", healthSchema.parse({ type: "tcp", interval: "1s", agent: { port: 99 } }), [endpoint(80)]);
    await settle();
    expect(monitor.status("app", "10.0.0.1:80")?.agent).toMatchObject({ state: "maintenance", isUp: false });
    monitor.setPool("app", config, [endpoint(80)]);
    await settle();
    expect(monitor.status("app", "10.0.0.1:80")).toMatchObject({ status: "healthy", agent: undefined });
    expect(changes.at(-1)).toBe("10.0.0.1:80 healthy: first check passed");
    monitor.close();
  });

  test("nothing is left behind when its pool goes", async () => {
    const { monitor, clock } = setUp();
    monitor.setPool("app", beside, [endpoint(80), endpoint(81)]);
    await settle();
    monitor.removePool("app");
    await settle();
    expect(clock.waiting).toBe(0);
  });
});
