/** Stopping, moving logs away and handing over to a new process, with clients in the middle of something. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { KeepAliveClient } from "../support/keep-alive-client.ts";
import { startNginx, wrk } from "../support/peers.ts";
import {
  childrenOf,
  endAll,
  eventually,
  freePort,
  havePrograms,
  isRunning,
  temporaryFolder,
} from "../support/process.ts";

const TIMEOUT_MS = 60_000;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await endAll();
});

interface SlowEndpoint {
  readonly address: string;
  /** Requests for /slow that wait for `answer`. */
  waiting(): number;
  answer(): void;
}

/** Answers at once, except for /slow, which waits until it is told to. */
function startSlowEndpoint(): SlowEndpoint {
  const waiting: ((response: Response) => void)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    fetch(request) {
      if (new URL(request.url).pathname !== "/slow") return new Response("quick");
      return new Promise<Response>((resolve) => void waiting.push(resolve));
    },
  });
  cleanups.push(() => server.stop(true));
  return {
    address: `127.0.0.1:${server.port}`,
    waiting: () => waiting.length,
    answer: () => {
      for (const resolve of waiting.splice(0)) resolve(new Response("slow"));
    },
  };
}

function inFrontOf(address: string, port: number, workers: number, drainTimeout: string): ConfigInput {
  return {
    workers,
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
    pools: { app: { endpoints: [address] } },
    shutdown: { drainTimeout },
  };
}

async function client(port: number): Promise<KeepAliveClient> {
  const opened = await KeepAliveClient.open(port);
  cleanups.push(() => opened.close());
  return opened;
}

for (const workers of [0, 2]) {
  test(
    `SIGTERM with ${workers} workers: not ready, in-flight requests end well, kept-alive connections are told`,
    async () => {
      const endpoint = startSlowEndpoint();
      const port = await freePort();
      const evenkeel = await startEvenkeel(inFrontOf(endpoint.address, port, workers, "20s"));
      const processes = [evenkeel.pid, ...evenkeel.workers()];
      const [slow, kept] = [await client(port), await client(port)];
      expect((await kept.get("/")).head).not.toContain("Connection: close");
      const answer = slow.get("/slow");
      await eventually(() => endpoint.waiting() === 1, "the slow request to arrive");

      evenkeel.signal("SIGTERM");
      await eventually(async () => (await evenkeel.readiness()) === 503, "/readyz to be 503");
      const last = await kept.get("/");
      expect(last.status).toBe(200);
      expect(last.head).toContain("Connection: close");
      await eventually(() => kept.closed, "the end of the kept-alive connection");
      expect(isRunning(evenkeel.pid)).toBe(true);

      endpoint.answer();
      expect(await answer).toMatchObject({ status: 200, body: "slow" });
      expect(await evenkeel.ending()).toBe(0);
      await eventually(() => !processes.some(isRunning), "all processes to end");
      expect(evenkeel.stderr).toContain("stopped");
      expect(evenkeel.stderr).not.toContain("drain timeout");
    },
    TIMEOUT_MS,
  );
}

test(
  "an idle connection does not hold up a stop",
  async () => {
    const endpoint = startSlowEndpoint();
    const port = await freePort();
    const evenkeel = await startEvenkeel(inFrontOf(endpoint.address, port, 2, "40s"));
    const idle = await client(port);
    expect((await idle.get("/")).status).toBe(200);
    evenkeel.signal("SIGINT");
    expect(await evenkeel.ending(10_000)).toBe(0);
    expect(idle.closed).toBe(true);
  },
  TIMEOUT_MS,
);

/** An evenkeel with a request in flight that will never be answered. */
async function startStuck(drainTimeout: string): Promise<{ evenkeel: Evenkeel; answer: Promise<string> }> {
  const endpoint = startSlowEndpoint();
  const port = await freePort();
  const evenkeel = await startEvenkeel(inFrontOf(endpoint.address, port, 2, drainTimeout));
  const slow = await client(port);
  const answer = slow.get("/slow").then(
    ({ body }) => body,
    () => "cut off",
  );
  await eventually(() => endpoint.waiting() === 1, "the slow request to arrive");
  return { evenkeel, answer };
}

test(
  "with a delay, clients are served on after /readyz has turned 503, until a second signal",
  async () => {
    const endpoint = startSlowEndpoint();
    const port = await freePort();
    const shutdown = { drainTimeout: "20s", delay: "50s" };
    const evenkeel = await startEvenkeel({ ...inFrontOf(endpoint.address, port, 2, "20s"), shutdown });
    const kept = await client(port);
    evenkeel.signal("SIGTERM");
    await eventually(async () => (await evenkeel.readiness()) === 503, "/readyz to be 503");
    const during = await kept.get("/");
    expect(during).toMatchObject({ status: 200, body: "quick" });
    expect(during.head).not.toContain("Connection: close");
    expect((await (await client(port)).get("/")).status).toBe(200);
    expect(evenkeel.count("INFO  draining")).toBe(0);
    evenkeel.signal("SIGTERM");
    await evenkeel.says("INFO  draining");
    expect(await evenkeel.ending()).toBe(0);
    expect(evenkeel.count("stopping at once")).toBe(0);
  },
  TIMEOUT_MS,
);

test(
  "a delay ends by itself, and drainTimeout 0 does not take it away",
  async () => {
    const endpoint = startSlowEndpoint();
    const port = await freePort();
    const shutdown = { drainTimeout: "0s", delay: "500ms" };
    const evenkeel = await startEvenkeel({ ...inFrontOf(endpoint.address, port, 0, "0s"), shutdown });
    evenkeel.signal("SIGTERM");
    expect(await evenkeel.ending()).toBe(0);
    expect(evenkeel.count("INFO  draining")).toBe(1);
  },
  TIMEOUT_MS,
);

test(
  "the drain timeout ends what does not end by itself, and says so",
  async () => {
    const { evenkeel, answer } = await startStuck("1s");
    evenkeel.signal("SIGTERM");
    expect(await evenkeel.ending()).toBe(0);
    expect(await answer).toBe("cut off");
    expect(evenkeel.stderr).toContain("drain timeout");
  },
  TIMEOUT_MS,
);

test.each(["SIGTERM", "SIGINT", "SIGQUIT"] as const)(
  "%s after SIGTERM stops at once",
  async (second) => {
    const { evenkeel, answer } = await startStuck("50s");
    evenkeel.signal("SIGTERM");
    await evenkeel.says("stopping");
    expect(isRunning(evenkeel.pid)).toBe(true);
    evenkeel.signal(second);
    expect(await evenkeel.ending(10_000)).toBe(0);
    expect(await answer).toBe("cut off");
  },
  TIMEOUT_MS,
);

/** Its address. */
function startDelayedEndpoint(delayMs: number): string {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch() {
      if (delayMs > 0) await Bun.sleep(delayMs);
      return new Response("delayed");
    },
  });
  cleanups.push(() => server.stop(true));
  return `127.0.0.1:${server.port}`;
}

function linesOf(file: string): number {
  return readFileSync(file, "latin1").split("\n").length - 1;
}

if (havePrograms("nginx", "wrk")) {
  test(
    "SIGUSR1 under load: a renamed log is followed by a new one, and no line is lost",
    async () => {
      const endpoints = await startNginx(2);
      const port = await freePort();
      const log = join(temporaryFolder(), "access.log");
      const evenkeel = await startEvenkeel({
        workers: 2,
        listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
        pools: { app: { endpoints: endpoints.map(({ address }) => address) } },
        accessLog: { path: log, format: "{method} {target} {status}" },
      });
      const load = wrk(`http://127.0.0.1:${port}/`, { connections: 16, seconds: 3 });
      const moved: string[] = [];
      for (let count = 1; count <= 3; count++) {
        await Bun.sleep(500);
        renameSync(log, `${log}.${count}`);
        moved.push(`${log}.${count}`);
        evenkeel.signal("SIGUSR1");
        await evenkeel.says("reopening logs", count);
        await eventually(() => Bun.file(log).size > 0, "lines in the new log");
      }
      const figures = await load;
      expect(figures).toMatchObject({ badAnswers: 0, socketErrors: 0 });
      evenkeel.signal("SIGTERM");
      await eventually(async () => (await evenkeel.readiness()) !== 200, "the stop");
      expect(await evenkeel.ending()).toBe(0);
      const lines = [...moved, log].reduce((sum, file) => sum + linesOf(file), 0);
      // wrk does not count the answers that were on their way when its time was over.
      expect(lines).toBeGreaterThanOrEqual(figures.requests);
      expect(lines).toBeLessThanOrEqual(figures.requests + 16);
      for (const file of [...moved, log]) expect(readFileSync(file, "latin1")).toMatch(/^(GET \/ (200|0)\n)+$/);
    },
    TIMEOUT_MS,
  );

  test.each([
    { clients: "kept-alive connections", headers: {}, delayMs: 0 },
    // There is never a moment without a request in flight.
    { clients: "a connection per request", headers: { Connection: "close" }, delayMs: 50 },
  ])(
    "SIGUSR2 under load, $clients: a new process takes over, the old one leaves, no request fails",
    async ({ headers, delayMs }) => {
      const port = await freePort();
      const evenkeel = await startEvenkeel(inFrontOf(startDelayedEndpoint(delayMs), port, 2, "30s"));
      const workers = evenkeel.workers();
      let isLoaded = true;
      const load = wrk(`http://127.0.0.1:${port}/`, { connections: 32, seconds: 6, headers }).finally(() => {
        isLoaded = false;
      });
      await Bun.sleep(700);
      evenkeel.signal("SIGUSR2");
      await evenkeel.says("INFO  serving", 2);
      const successor = Number(/serving.*pid=(\d+)(?![\s\S]*serving.*pid=)/.exec(evenkeel.stderr)?.[1]);
      expect(successor).not.toBe(evenkeel.pid);
      expect(await evenkeel.ending()).toBe(0);
      await eventually(() => !workers.some(isRunning), "the old workers to end");
      // However busy it is: clients that come back are for the new process alone.
      expect(isLoaded).toBe(true);
      const figures = await load;
      expect(figures).toMatchObject({ badAnswers: 0, socketErrors: 0 });
      expect(figures.requests).toBeGreaterThan(100);
      expect(childrenOf(successor)).toHaveLength(2);
      expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
      expect(await evenkeel.readiness()).toBe(200);
      process.kill(successor, "SIGTERM");
      await eventually(() => !isRunning(successor), "the successor to end");
    },
    TIMEOUT_MS,
  );
}

test(
  "SIGUSR2 with a file that has become wrong: the old process goes on",
  async () => {
    const endpoint = startSlowEndpoint();
    const port = await freePort();
    const evenkeel = await startEvenkeel(inFrontOf(endpoint.address, port, 2, "5s"));
    evenkeel.write("listeners: 7");
    evenkeel.signal("SIGUSR2");
    await evenkeel.says("this process goes on serving");
    expect(await evenkeel.readiness()).toBe(200);
    expect((await (await client(port)).get("/")).body).toBe("quick");
    expect(evenkeel.workers()).toHaveLength(2);
  },
  TIMEOUT_MS,
);
