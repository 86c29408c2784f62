/** What becomes of traffic, counts and descriptors when processes die, and when they do not. */
import { afterEach, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { KeepAliveClient } from "../support/keep-alive-client.ts";
import { type NginxEndpoint, startNginx, wrk } from "../support/peers.ts";
import { acceptedConnections, endAll, eventually, freePort, havePrograms, isRunning } from "../support/process.ts";

const TIMEOUT_MS = 60_000;
const CONNECTIONS = 32;
const IN_FLIGHT = "evenkeel_endpoint_in_flight";
/** Descriptors that come and go by themselves: an event queue, a timer, a health check under way. */
const DESCRIPTOR_SLACK = 6;

const servers: { stop(force: boolean): unknown }[] = [];

afterEach(async () => {
  await endAll();
  for (const server of servers.splice(0)) await server.stop(true);
});

function balancing(port: number, endpoints: readonly NginxEndpoint[], more: Partial<ConfigInput> = {}): ConfigInput {
  return {
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
    pools: { app: { endpoints: endpoints.map(({ address }) => address), balance: "least-connections" } },
    ...more,
  };
}

async function requestsAreDone(evenkeel: Evenkeel): Promise<void> {
  await eventually(async () => {
    const metrics = await evenkeel.metrics();
    return metrics.sum(IN_FLIGHT) === 0 && metrics.sum("evenkeel_listener_connections_open") === 0;
  }, "in-flight and open connections to come to 0");
}

if (havePrograms("nginx", "wrk")) {
  test(
    "a killed worker costs its own connections, nothing else, and is replaced",
    async () => {
      const endpoints = await startNginx(3);
      const port = await freePort();
      const evenkeel = await startEvenkeel(balancing(port, endpoints));
      const load = wrk(`http://127.0.0.1:${port}/`, { connections: CONNECTIONS, seconds: 5 });
      const victim = evenkeel.workers()[0] as number;
      await eventually(() => acceptedConnections(victim, port) > 0, "connections of the worker");
      await Bun.sleep(1_000);
      const before = (await evenkeel.metrics()).counters();
      const lost = acceptedConnections(victim, port);
      process.kill(victim, "SIGKILL");
      await evenkeel.says("a worker ended and is replaced");
      await eventually(() => evenkeel.workers().length === 2, "another worker");
      const after = (await evenkeel.metrics()).counters();
      expect([...before].filter(([name, value]) => (after.get(name) ?? 0) < value)).toEqual([]);

      const figures = await load;
      expect(figures.badAnswers).toBe(0);
      expect(figures.socketErrors).toBeLessThanOrEqual(lost);
      expect(figures.requests).toBeGreaterThan(100);
      await requestsAreDone(evenkeel);
      const metrics = await evenkeel.metrics();
      expect(metrics.sum("evenkeel_worker_restarts_total")).toBe(1);
      expect(metrics.sum("evenkeel_workers")).toBe(2);
      await newWorkerServes(evenkeel, victim, port);
    },
    TIMEOUT_MS,
  );

  test(
    "every worker killed at once: all are replaced, and waiting clients are served",
    async () => {
      const endpoints = await startNginx(1);
      const port = await freePort();
      const evenkeel = await startEvenkeel(balancing(port, endpoints));
      for (const worker of evenkeel.workers()) process.kill(worker, "SIGKILL");
      // The listening sockets are still there: whoever connects now waits for a worker.
      const answers = Array.from({ length: 8 }, () =>
        fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close" } }).then(({ status }) => status),
      );
      expect(await Promise.all(answers)).toEqual(answers.map(() => 200));
      expect((await evenkeel.metrics()).sum("evenkeel_worker_restarts_total")).toBe(2);
    },
    TIMEOUT_MS,
  );

  test(
    "descriptors and memory places are given back after load",
    async () => {
      const endpoints = await startNginx(3);
      const port = await freePort();
      const pools = balancing(port, endpoints).pools as NonNullable<ConfigInput["pools"]>;
      const config = balancing(port, endpoints, {
        pools: { app: { ...pools["app"]!, connections: { idleTimeout: "500ms" } } },
      });
      const evenkeel = await startEvenkeel(config);
      const url = `http://127.0.0.1:${port}/`;
      await wrk(url, { connections: CONNECTIONS, seconds: 1 });
      const connectionsAreClosed = (): Promise<void> =>
        eventually(
          async () => (await evenkeel.metrics()).sum("evenkeel_endpoint_connections_open") === 0,
          "idle connections to be closed",
        );
      await requestsAreDone(evenkeel);
      await connectionsAreClosed();
      const before = evenkeel.descriptors();
      await wrk(url, { connections: CONNECTIONS, seconds: 2 });
      await wrk(url, { connections: 8, seconds: 1, headers: { Connection: "close" } });
      await requestsAreDone(evenkeel);
      await connectionsAreClosed();
      expect(evenkeel.descriptors()).toBeLessThanOrEqual(before + DESCRIPTOR_SLACK);
    },
    TIMEOUT_MS,
  );

  test(
    "a killed supervisor leaves no worker behind",
    async () => {
      const endpoints = await startNginx(1);
      const port = await freePort();
      const evenkeel = await startEvenkeel(balancing(port, endpoints));
      const workers = evenkeel.workers();
      const idle = await KeepAliveClient.open(port);
      expect((await idle.get("/")).status).toBe(200);
      const load = wrk(`http://127.0.0.1:${port}/`, { connections: 4, seconds: 3 });
      await Bun.sleep(500);
      evenkeel.signal("SIGKILL");
      expect(await evenkeel.ending()).toBe("SIGKILL");
      await eventually(() => !workers.some(isRunning), "the workers to end", 8_000);
      // What was under way when it died has been answered.
      expect((await load).badAnswers).toBe(0);
    },
    TIMEOUT_MS,
  );
}

test(
  "a reload and a new endpoint while a killed worker is being replaced: its connections are served as all others",
  async () => {
    const port = await freePort();
    const named = (name: string) => {
      const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(name) });
      servers.push(server);
      return `127.0.0.1:${server.port}`;
    };
    const [first, second] = [named("first"), named("second")];
    const config = (body: string): ConfigInput => ({
      workers: 2,
      listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
      routes: [{ match: { path: "/reloaded" }, respond: { status: 200, body } }],
      pools: { app: { endpoints: [first], health: false, balance: "round-robin" } },
    });
    const evenkeel = await startEvenkeel(config("0"));
    const ask = async (path: string): Promise<string> => {
      const options = { headers: { Connection: "close" }, signal: AbortSignal.timeout(15_000) };
      return (await fetch(`http://127.0.0.1:${port}${path}`, options)).text();
    };
    for (let round = 1; round <= 3; round++) {
      const before = evenkeel.workers();
      process.kill(before[0] as number, "SIGKILL");
      const isReplaced = (): boolean => evenkeel.workers().some((worker) => !before.includes(worker));
      await eventually(isReplaced, "a process for the new worker");
      const reloaded = evenkeel.reload(config(String(round)));
      const added = fetch(
        `http://127.0.0.1:${evenkeel.adminPort}/api/pools/app/endpoints${round === 2 ? `/${second}` : ""}`,
        {
          method: round === 2 ? "DELETE" : "POST",
          headers: { "Content-Type": "application/json" },
          ...(round === 2 ? {} : { body: JSON.stringify({ address: second }) }),
        },
      );
      expect(await reloaded).toBe(true);
      expect((await added).ok).toBe(true);
      const answers = await Promise.all(Array.from({ length: 16 }, () => ask("/reloaded")));
      expect(answers).toEqual(answers.map(() => String(round)));
      const served = new Set(await Promise.all(Array.from({ length: 32 }, () => ask("/"))));
      expect([...served].sort()).toEqual(round === 2 ? ["first"] : ["first", "second"]);
    }
  },
  TIMEOUT_MS,
);

test(
  "a worker that is killed while a configuration is applied does not keep it from being taken",
  async () => {
    const port = await freePort();
    const answering = (body: string): ConfigInput => ({
      workers: 2,
      listeners: { web: { address: `127.0.0.1:${port}` } },
      routes: [{ respond: { status: 200, body } }],
    });
    const evenkeel = await startEvenkeel(answering("0"));
    const ask = async (): Promise<string> => {
      const options = { headers: { Connection: "close" }, signal: AbortSignal.timeout(15_000) };
      return (await fetch(`http://127.0.0.1:${port}/`, options)).text();
    };
    let round = 0;
    for (const delayMs of [0, 4, 8, 12, 20, 40]) {
      const [victim] = evenkeel.workers() as [number];
      const reloaded = evenkeel.reload(answering(String(++round)));
      await Bun.sleep(delayMs);
      process.kill(victim, "SIGKILL");
      expect(await reloaded, evenkeel.describe()).toBe(true);
      await eventually(() => evenkeel.workers().length === 2 && !evenkeel.workers().includes(victim), "both workers");
      const answers = await Promise.all(Array.from({ length: 16 }, ask));
      expect(answers).toEqual(answers.map(() => String(round)));
    }
  },
  TIMEOUT_MS,
);

/** Connections are spread by the system; sooner or later the new worker gets one. */
async function newWorkerServes(evenkeel: Evenkeel, dead: number, port: number): Promise<void> {
  const workers = evenkeel.workers();
  expect(workers).not.toContain(dead);
  const clients: KeepAliveClient[] = [];
  await eventually(async () => {
    const client = await KeepAliveClient.open(port);
    clients.push(client);
    expect((await client.get("/")).status).toBe(200);
    return workers.every((worker) => acceptedConnections(worker, port) > 0);
  }, "a connection for each worker");
  for (const client of clients) client.close();
}
