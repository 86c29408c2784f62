/** What endpoints and agents say of themselves, with worker processes and the commands: one verdict for all workers. */
import { afterEach, expect, test } from "bun:test";
import type { Socket } from "bun";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, runCommand, startEvenkeel } from "../support/evenkeel.ts";
import { endAll, eventually, freePort } from "../support/process.ts";

const TIMEOUT_MS = 60_000;

const stops: (() => unknown)[] = [];
afterEach(async () => {
  await endAll();
  for (const stop of stops.splice(0).reverse()) await stop();
});

function endpoint(name: string) {
  const self = { status: 200, address: "" };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => (url.endsWith("/health") ? new Response("", { status: self.status }) : new Response(name)),
  });
  stops.push(() => server.stop(true));
  self.address = `127.0.0.1:${server.port}`;
  return self;
}

function agent(line: string) {
  const self = { line, port: 0 };
  const open = (socket: Socket): void => void socket.end(self.line);
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open, data() {}, error() {} } });
  stops.push(() => server.stop(true));
  self.port = server.port;
  return self;
}

/** Who answers new connections, which fall to either worker. */
async function answers(port: number, count: number): Promise<string[]> {
  const seen = new Set<string>();
  for (let index = 0; index < count; index++) {
    const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close" } });
    seen.add(response.ok ? await response.text() : String(response.status));
  }
  return [...seen].sort();
}

const status = async (evenkeel: Evenkeel, ...which: string[]): Promise<string> =>
  (await runCommand("status", ...which, "--admin", `127.0.0.1:${evenkeel.adminPort}`)).stdout;

const health = { type: "http", path: "/health", interval: "200ms", transitionInterval: "50ms" } as const;

test(
  "degraded, drained by its agent, blocked: all workers know, a reload and a new worker change nothing",
  async () => {
    const [a, b, db] = [endpoint("a"), endpoint("b"), endpoint("db")];
    const says = agent("up ready 100%\n");
    const port = await freePort();
    const config: ConfigInput = {
      workers: 2,
      listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
      pools: {
        app: {
          endpoints: [a.address, b.address],
          requires: ["db"],
          health: { ...health, degradedStatus: 429, agent: { port: says.port, interval: "200ms" } },
        },
        db: { endpoints: [db.address], health },
      },
    };
    const evenkeel = await startEvenkeel(config);
    const sum = async (name: string): Promise<number> => (await evenkeel.metrics()).sum(name);
    expect(await answers(port, 20)).toEqual(["a", "b"]);

    a.status = 429;
    await eventually(async () => (await sum("evenkeel_endpoint_degraded")) === 1, "a to be degraded");
    const isSpared = async (): Promise<void> => expect(await answers(port, 20)).toEqual(["b"]);
    await isSpared();
    expect(await evenkeel.reload({ ...config, log: { level: "debug" } })).toBeTrue();
    await isSpared();
    const [victim] = evenkeel.workers() as [number];
    process.kill(victim, "SIGKILL");
    await evenkeel.says("a worker ended");
    await eventually(() => evenkeel.workers().length === 2 && !evenkeel.workers().includes(victim), "another worker");
    await isSpared();
    expect(await status(evenkeel, "app")).toContain("2 of 2 usable (1 degraded)");
    b.status = 500;
    await eventually(async () => (await sum("evenkeel_endpoint_eligible")) === 2, "b to be down");
    expect(await answers(port, 20)).toEqual(["a"]);

    says.line = "drain 50%#too warm\n";
    await eventually(async () => (await sum("evenkeel_endpoint_agent_weight_percent")) === 100, "both agents' word");
    expect(await answers(port, 6)).toEqual(["503"]);
    says.line = "ready 100%\n";
    await eventually(async () => (await sum("evenkeel_endpoint_eligible")) === 2, "a to be back");
    db.status = 500;
    await eventually(async () => (await sum("evenkeel_pool_blocked")) === 1, "app to be blocked");
    expect(await answers(port, 6)).toEqual(["503"]);
    expect(await status(evenkeel, "app")).toContain("blocked: it requires db");
  },
  TIMEOUT_MS,
);

test(
  "why is it down? one command tells all of it",
  async () => {
    const [a, b] = [endpoint("a"), endpoint("b")];
    const says = agent("drain 50%#disk full\n");
    const evenkeel = await startEvenkeel({
      workers: 0,
      listeners: { web: { address: `127.0.0.1:${await freePort()}`, pool: "app" } },
      pools: {
        app: {
          endpoints: [a.address, b.address],
          health: {
            ...health,
            unhealthyAfter: 1,
            healthyAfter: 1,
            flapDamping: { suppressAt: 1, reuseAt: 0.5 },
            agent: { port: says.port, interval: "200ms" },
          },
        },
      },
    });
    for (let time = 0; time < 2; time++) {
      b.status = 500;
      await eventually(async () => (await status(evenkeel, "app", b.address)).includes("unhealthy: "), "b to be down");
      if (time === 1) break;
      b.status = 200;
      await eventually(
        async () => (await status(evenkeel, "app", b.address)).includes("healthy: 1 check passed"),
        "b to be up",
      );
    }
    const text = await status(evenkeel, "app", b.address);
    expect(text).toStartWith(`${b.address} of app is not usable, for `);
    for (const line of [
      /^ {2}against it {2}1 check failed: status 500$/m,
      /^ {14}drained by its agent, which says drain 50%: disk full$/m,
      /^ {14}held back: 2 failures within [\d.]+m?s; trusted again in about [\d.]+m$/m,
      /^ {2}state {7}ready, \d+s left for what is under way$/m,
      /^ {2}health {6}unhealthy: 1 check failed: status 500$/m,
      /^ {2}agent {7}drain 50% \(disk full\), \ds ago; holds: drain, up, 50% of its weight$/m,
      /^ {2}weight {6}0.5 of 1$/m,
      /^last checks$/m,
      /^ {2}\ds ago {2}failed {2,4}[\d.]+ ms +status 500$/m,
      /^last changes$/m,
      /^ {2}\d+s ago +endpoint.up +/m,
      /^ {2}\d+s ago +endpoint.held +held back: 2 failures/m,
      /^ {2}\d+s ago +endpoint.agent +its agent says drain 50%: disk full$/m,
    ])
      expect(text).toMatch(line);
    expect(JSON.parse(await status(evenkeel, "app", b.address, "--json")).against).toHaveLength(3);
    const unknown = await runCommand("status", "app", "10.0.0.9:1", "--admin", `127.0.0.1:${evenkeel.adminPort}`);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toStartWith("evenkeel: pool app has no endpoint 10.0.0.9:1; there are: 127.0.0.1:");
  },
  TIMEOUT_MS,
);
