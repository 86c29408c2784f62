/** Large bodies and unread answers through a real process: what it holds in memory stays bounded. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { Client, connected, expectServed, MIB, netEndpoint, until, writeMuch } from "./harness.ts";
import { type RunningProcess, startProcess } from "./process.ts";

const SIZE = 256 * MIB;
/** The most that a process may grow by, whatever passes through it. */
const BOUND = 112 * 1_048_576;

let balancer: RunningProcess;
let stopEndpoint = (): void => {};
let before = 0;
let most = 0;
let sampling: Timer;

/** Where the uploads end up; only as fast as the test lets it. */
let uploaded = 0;
const readIntervalMs = 0;

beforeAll(async () => {
  const endpoint = await netEndpoint((socket) => {
    socket.on("data", (bytes: Buffer) => {
      const text = bytes.subarray(0, 100).toString("latin1");
      if (text.startsWith("GET /large ")) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
        writeMuch(socket, SIZE);
      } else if (text.startsWith("GET ")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      else {
        uploaded += bytes.length;
        if (uploaded >= SIZE) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        socket.pause();
        setTimeout(() => socket.resume(), readIntervalMs);
      }
    });
  }, "kept");
  stopEndpoint = endpoint.stop;
  const route = { match: {}, pool: "app", maxBodySize: "0B" };
  const timeouts = { write: "2s", idle: "5s" };
  balancer = await startProcess([endpoint.address], { timeouts }, { workers: 0, routes: [route] });
}, 30_000);

afterAll(async () => {
  await balancer.stop();
  stopEndpoint();
});

beforeEach(async () => {
  for (let warm = 0; warm < 50; warm++) await expectServed(balancer.port);
  before = balancer.residentBytes();
  most = before;
  clearInterval(sampling);
  sampling = setInterval(() => {
    most = Math.max(most, balancer.residentBytes());
  }, 20);
});

async function expectBounded(): Promise<void> {
  clearInterval(sampling);
  expect(most - before).toBeLessThan(BOUND);
  await expectServed(balancer.port);
}

test("256 MiB to a slow reader", async () => {
  const client = await connected(balancer.port);
  client.socket.on("data", () => {
    client.socket.pause();
    setTimeout(() => client.socket.resume(), 0);
  });
  client.socket.write("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
  await Bun.sleep(100);
  expect(await until(() => client.received > SIZE, 30_000)).toBe(true);
  await expectBounded();
}, 60_000);

test("256 MiB from a fast client to a slow endpoint", async () => {
  const client = await connected(balancer.port);
  client.socket.write(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${SIZE}\r\n\r\n`);
  writeMuch(client.socket, SIZE);
  expect(await until(() => client.text.endsWith("ok"), 30_000)).toBe(true);
  await expectBounded();
}, 60_000);

test("20 clients that ask for 256 MiB each and read nothing", async () => {
  const idle = Array.from({ length: 20 }, () => new Client(balancer.port));
  for (const client of idle) {
    client.socket.pause();
    client.socket.write("GET /large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50));
  }
  await Bun.sleep(1_000);
  // All of them are cut off in the end.
  for (let second = 0; second < 8 && (await balancer.metric("evenkeel_listener_connections_open")) > 0; second++)
    await Bun.sleep(1_000);
  expect(await balancer.metric("evenkeel_listener_connections_open")).toBe(0);
  await expectBounded();
}, 60_000);
