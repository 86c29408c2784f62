/** Handing over to a new process when something else happens meanwhile. */
import { afterEach, expect, test } from "bun:test";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ConfigInput } from "../../src/config/schema.ts";
import { startEvenkeel } from "../support/evenkeel.ts";
import { acceptedConnections, endAll, eventually, freePort } from "../support/process.ts";

const TIMEOUT_MS = 60_000;
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
