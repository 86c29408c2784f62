/** Handing over to a new process when something else happens meanwhile. */
import { afterEach, expect, test } from "bun:test";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { KeepAliveClient } from "../support/keep-alive-client.ts";
import { acceptedConnections, argumentsOf, endAll, eventually, freePort, groupOf } from "../support/process.ts";
import { tcpEndpoint } from "../support/tcp.ts";

const TIMEOUT_MS = 60_000;
const SILENT_CHECKS = { type: "http", interval: "1h", transitionInterval: "1h", timeout: "10s" } as const;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await endAll();
});

function answering(port: number, body: string, more: Partial<ConfigInput> = {}): ConfigInput {
  return {
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}` } },
    routes: [{ name: "all", respond: { status: 200, body } }],
    shutdown: { drainTimeout: "20s" },
    ...more,
  };
}

interface SlowStart {
  readonly evenkeel: Evenkeel;
  /** The configuration with another answer. */
  config(body: string): ConfigInput;
  ask(): Promise<string>;
  /** Sends SIGUSR2; resolves when the new process has read its configuration and is a good while away from serving. */
  upgrade(): Promise<void>;
}

/** A start waits for first checks, for a second at most: here it does so in vain. */
async function startSlowly(body: string): Promise<SlowStart> {
  const silent = await tcpEndpoint(() => {});
  cleanups.push(() => silent.stop());
  const port = await freePort();
  const pools = { silent: { endpoints: [silent.address], health: SILENT_CHECKS } };
  const config = (answer: string): ConfigInput => answering(port, answer, { pools });
  const evenkeel = await startEvenkeel(config(body));
  return {
    evenkeel,
    config,
    ask: async () => (await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close" } })).text(),
    async upgrade() {
      const before = silent.sockets.length;
      evenkeel.signal("SIGUSR2");
      await eventually(() => silent.sockets.length > before, "the first check of the new process");
    },
  };
}

function supervisors(evenkeel: Evenkeel): number[] {
  return groupOf(evenkeel.pid).filter((pid) => argumentsOf(pid).includes("run"));
}

test(
  "a second SIGUSR2 while the new process starts: there is one new process, not two",
  async () => {
    const { evenkeel, ask, upgrade } = await startSlowly("here");
    await upgrade();
    evenkeel.signal("SIGUSR2");
    expect(await evenkeel.ending()).toBe(0);
    expect(evenkeel.count("handing over to a new process")).toBe(1);
    expect(supervisors(evenkeel)).toHaveLength(1);
    expect(await ask()).toBe("here");
  },
  TIMEOUT_MS,
);

test(
  "SIGTERM while the new process starts: both end",
  async () => {
    const { evenkeel, upgrade } = await startSlowly("here");
    await upgrade();
    evenkeel.signal("SIGTERM");
    expect(await evenkeel.ending()).toBe(0);
    await eventually(() => groupOf(evenkeel.pid).length === 0, "the end of all processes");
    expect(evenkeel.count("INFO  serving")).toBe(1);
  },
  TIMEOUT_MS,
);

test(
  "SIGHUP while the new process starts: it, too, serves what the file says now",
  async () => {
    const { evenkeel, config, ask, upgrade } = await startSlowly("old");
    await upgrade();
    expect(await evenkeel.reload(config("new"))).toBe(true);
    expect(await ask()).toBe("new");
    expect(await evenkeel.ending()).toBe(0);
    await evenkeel.says("INFO  reloaded", 2);
    expect(await ask()).toBe("new");
  },
  TIMEOUT_MS,
);

test.each(["SIGUSR2", "SIGTERM"] as const)(
  "%s in the middle of a TLS handshake: the client is served",
  async (signal) => {
    const port = await freePort();
    const tls = { certificates: ["self-signed" as const] };
    const listeners = { web: { address: `127.0.0.1:${port}`, tls } };
    const evenkeel = await startEvenkeel(answering(port, "secure", { listeners }));
    const workers = evenkeel.workers();
    const socket = connectTcp({ port, host: "127.0.0.1" });
    cleanups.push(() => socket.destroy());
    await eventually(() => workers.some((pid) => acceptedConnections(pid, port) > 0), "the connection to be accepted");
    evenkeel.signal(signal);
    await evenkeel.says("INFO  stopping");
    await Bun.sleep(300);
    const client = connectTls({ socket, rejectUnauthorized: false });
    let text = "";
    client.on("data", (bytes) => {
      text += bytes.toString();
    });
    client.on("error", () => {});
    client.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect(await evenkeel.ending()).toBe(0);
    expect(text).toContain("secure");
    expect(text).toContain("Connection: close");
  },
  TIMEOUT_MS,
);

test(
  "a client that does not begin its handshake does not hold up a stop",
  async () => {
    const port = await freePort();
    const tls = { certificates: ["self-signed" as const], handshakeTimeout: "1h" };
    const listeners = { web: { address: `127.0.0.1:${port}`, tls } };
    const evenkeel = await startEvenkeel(answering(port, "secure", { listeners }));
    const workers = evenkeel.workers();
    const socket = connectTcp({ port, host: "127.0.0.1" });
    cleanups.push(() => socket.destroy());
    await eventually(() => workers.some((pid) => acceptedConnections(pid, port) > 0), "the connection to be accepted");
    evenkeel.signal("SIGTERM");
    expect(await evenkeel.ending(10_000)).toBe(0);
    expect(evenkeel.stderr).not.toContain("drain timeout");
  },
  TIMEOUT_MS,
);

test(
  "a worker that dies while its process leaves is not replaced",
  async () => {
    const holding: ((answer: Response) => void)[] = [];
    const endpoint = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Promise<Response>((resolve) => void holding.push(resolve)),
    });
    cleanups.push(() => endpoint.stop(true));
    const port = await freePort();
    const pools = { app: { endpoints: [`127.0.0.1:${endpoint.port}`] } };
    const evenkeel = await startEvenkeel(answering(port, "", { routes: [{ pool: "app" }], pools }));
    const workers = evenkeel.workers();
    const client = await KeepAliveClient.open(port);
    cleanups.push(() => client.close());
    const answer = client.get("/");
    await eventually(() => holding.length === 1, "the request to arrive");
    const idle = workers.find((pid) => acceptedConnections(pid, port) === 0) as number;

    expect(await evenkeel.upgrade()).toBe(true);
    process.kill(idle, "SIGKILL");
    await evenkeel.says("a worker ended");
    // Two supervisors, two workers of the one and one of the other, and nobody besides.
    await Bun.sleep(1_000);
    expect(groupOf(evenkeel.pid)).toHaveLength(5);
    for (const resolve of holding) resolve(new Response("held"));
    expect((await answer).body).toBe("held");
    expect(await evenkeel.ending()).toBe(0);
  },
  TIMEOUT_MS,
);
