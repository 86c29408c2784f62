/** Memory of idle connections: many are opened, each asks once and then stays. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { beginHeaders, endHeaders, writePreface, writeSettings } from "../../src/protocols/http2/frame-writers.ts";
import { HpackEncoder } from "../../src/protocols/http2/hpack-encoder.ts";
import { ByteWriter } from "../../src/transport/byte-writer.ts";
import { residentKiB } from "./measure.ts";
import type { RunningRival } from "./rivals.ts";

const BATCH = 100;
const MAX_FRAME_BYTES = 16_384;

export interface IdleScene {
  readonly name: string;
  readonly connections: number;
  open(port: number): Promise<Socket>;
}

/** KiB of resident memory per connection. */
export async function idleMemory(rival: RunningRival, port: number, scene: IdleScene): Promise<number> {
  const pids = rival.pids();
  // What the first requests cost once is not the connections'.
  await closeAll(await openAll(port, 200, scene));
  await Bun.sleep(500);
  const before = residentKiB(pids);
  const sockets = await openAll(port, scene.connections, scene);
  await Bun.sleep(1_500);
  const after = residentKiB(pids);
  await closeAll(sockets);
  return (after - before) / scene.connections;
}

export const plainIdle: IdleScene = {
  name: "5,000 idle connections",
  connections: 5_000,
  open: (port) => answered(connect({ port, host: "127.0.0.1" }), "connect"),
};

export const tlsIdle: IdleScene = {
  name: "5,000 idle TLS connections",
  connections: 5_000,
  open: (port) =>
    answered(
      connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] }),
      "secureConnect",
    ),
};

/** Each with ten requests that are never answered. */
export const http2Idle: IdleScene = {
  name: "1,000 HTTP/2 connections with 10 idle streams",
  connections: 1_000,
  open: (port) =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] });
      socket.on("error", reject);
      socket.on("secureConnect", () => socket.write(tenRequests()));
      socket.once("data", () => resolve(socket));
    }),
};

function tenRequests(): Buffer {
  const writer = new ByteWriter(4_096);
  const encoder = new HpackEncoder();
  writePreface(writer);
  writeSettings(writer, []);
  for (let streamId = 1; streamId < 20; streamId += 2) {
    const mark = beginHeaders(writer);
    encoder.begin(writer);
    for (const [name, value] of [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/hang"],
      [":authority", "a"],
    ] as const)
      encoder.text(writer, name, value);
    endHeaders(writer, mark, streamId, true, MAX_FRAME_BYTES);
  }
  return Buffer.from(writer.bytes.subarray(0, writer.length));
}

function answered(socket: Socket, connected: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on(connected, () => socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    socket.once("data", () => resolve(socket));
  });
}

async function openAll(port: number, count: number, scene: IdleScene): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    sockets.push(...(await Promise.all(Array.from({ length: BATCH }, () => scene.open(port)))));
  }
  return sockets;
}

async function closeAll(sockets: readonly Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await Bun.sleep(200);
}
