/**
 * Floods of HTTP/2 frames, each really sent to a running process: the connection that floods ends, others are served
 * meanwhile, and in the end nothing of it is left: no exchange, no connection, no memory.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  ALL,
  block,
  data,
  END,
  FLAG,
  FRAME,
  FrameClient,
  frame,
  GET,
  H2_ERROR,
  headers,
  integer,
  leaveAll,
  type Pair,
  POST,
  PREFACE,
  ping,
  rstStream,
  SETTING,
  SETTINGS_ACK,
  settings,
  uint32,
  windowUpdate,
} from "../support/http2-client.ts";
import { expectServed, MIB, netEndpoint } from "./harness.ts";
import { type RunningProcess, startProcess } from "./process.ts";

const { enhanceYourCalm, protocolError, compressionError } = H2_ERROR;
const MEMORY_BOUND = 32 * MIB;
const BATCH = 500;
/** Requests that reached the endpoint; those to /never are not answered. */
let asked = 0;
let hanging = 0;
let stopEndpoint = (): void => {};
let balancer: RunningProcess;
let before = 0;

beforeAll(async () => {
  const endpoint = await netEndpoint((socket) => {
    socket.on("data", (bytes: Buffer) => {
      for (const head of bytes.toString("latin1").split("\r\n\r\n").slice(0, -1)) {
        asked++;
        if (!head.includes(" /never ")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        else {
          hanging++;
          socket.once("close", () => hanging--);
        }
      }
    });
  }, "kept");
  stopEndpoint = endpoint.stop;
  const timeouts = { header: "1s", body: "1s", write: "1s", idle: "3s" } as const;
  balancer = await startProcess([endpoint.address], { timeouts }, { workers: 0 });
  // Memory is compared with that of a process that has worked.
  for (let round = 0; round < 20; round++)
    await run({ name: "", send: (index) => [headers(1 + 2 * index, GET)], frames: 500 });
  before = balancer.residentBytes();
}, 60_000);

afterEach(async () => {
  leaveAll();
  await eventually(async () => (await balancer.metric("evenkeel_endpoint_in_flight")) === 0);
  await eventually(async () => (await balancer.metric("evenkeel_listener_connections_open")) === 0);
  await eventually(async () => hanging === 0);
  // What is garbage goes when there is other work.
  await eventually(async () => {
    for (let probe = 0; probe < 20; probe++) await expectServed(balancer.port);
    return balancer.residentBytes() - before < MEMORY_BOUND;
  });
});

afterAll(async () => {
  await balancer.stop();
  stopEndpoint();
});

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 200; look++) {
    if (await condition()) return;
    await Bun.sleep(25);
  }
  expect(await condition()).toBe(true);
}

interface Flood {
  readonly name: string;
  /** What comes before it. */
  readonly first?: readonly Buffer[];
  readonly send: (index: number) => readonly Buffer[];
  /** How often. */
  readonly frames: number;
}

/** Sends until all is sent or the connection has ended, with other clients in between. */
async function run({ first = [], send, frames }: Flood): Promise<FrameClient> {
  const client = await FrameClient.open(balancer.port);
  client.send(...first);
  for (let index = 0; index < frames && !client.isOver; index += BATCH) {
    client.send(...Array.from({ length: Math.min(BATCH, frames - index) }, (_, offset) => send(index + offset)).flat());
    if (index % (20 * BATCH) === 0) await expectServed(balancer.port);
    else await new Promise((resolve) => setImmediate(resolve));
  }
  return client;
}

function floods(code: number, all: readonly Flood[]): void {
  for (const flood of all) {
    test(`${flood.name}, ${flood.frames} times`, async () => {
      const askedBefore = asked;
      const client = await run(flood);
      await client.until(() => client.isOver);
      expect(client.goaway?.code).toBe(code);
      // What of it got through is within what may be open at once, and its probes.
      expect(asked - askedBefore).toBeLessThan(2 * 128 + 50);
      await expectServed(balancer.port);
    }, 30_000);
  }
}

const never: readonly Pair[] = [...GET.slice(0, 3), [":path", "/never"]];
const neverPost: readonly Pair[] = [[":method", "POST"], ...never.slice(1)];
const id = (index: number): number => 1 + 2 * index;

describe("resets", () => {
  floods(enhanceYourCalm, [
    { name: "rapid reset", send: (index) => [headers(id(index), never), rstStream(id(index), 8)], frames: 10_000 },
    {
      name: "rapid reset with the answer asked for in between",
      send: (index) => [headers(id(index), index % 2 === 0 ? GET : never), rstStream(id(index), 8)],
      frames: 10_000,
    },
    {
      name: "WINDOW_UPDATE of 0",
      send: (index) => [headers(id(index), never), windowUpdate(id(index), 0)],
      frames: 5_000,
    },
    {
      name: "a window that overflows",
      send: (index) => [headers(id(index), never), windowUpdate(id(index), 2 ** 31 - 1)],
      frames: 5_000,
    },
    {
      name: "DATA behind the end",
      send: (index) => [headers(id(index), neverPost), data(id(index), "x")],
      frames: 3_000,
    },
    {
      name: "HEADERS behind the end",
      send: (index) => [headers(id(index), never), headers(id(index), never)],
      frames: 3_000,
    },
    {
      name: "PRIORITY of a wrong length",
      send: (index) => [headers(id(index), never), frame(FRAME.priority, 0, id(index), Buffer.alloc(4))],
      frames: 3_000,
    },
    {
      name: "a stream that depends on itself",
      send: (index) => [
        headers(id(index), never),
        frame(FRAME.priority, 0, id(index), Buffer.concat([uint32(id(index)), Buffer.alloc(1)])),
      ],
      frames: 3_000,
    },
    {
      name: "more DATA than said",
      send: (index) => [headers(id(index), [...neverPost, ["content-length", "1"]], ALL), data(id(index), "xx")],
      frames: 3_000,
    },
    { name: "malformed requests", send: (index) => [headers(id(index), [...GET, ["X", "1"]])], frames: 3_000 },
    { name: "names of no length", send: (index) => [headers(id(index), [...GET, ["", "1"]])], frames: 3_000 },
    { name: "streams above the limit", send: (index) => [headers(id(index), neverPost, ALL)], frames: 5_000 },
  ]);
});

describe("frames that ask for nothing", () => {
  const long = headers(1, POST, ALL);
  floods(enhanceYourCalm, [
    { name: "SETTINGS", send: () => [settings([SETTING.initialWindowSize, 65_535])], frames: 20_000 },
    { name: "empty SETTINGS", send: () => [settings()], frames: 20_000 },
    { name: "acknowledged SETTINGS", send: () => [SETTINGS_ACK], frames: 20_000 },
    { name: "PING", send: () => [ping()], frames: 50_000 },
    { name: "acknowledged PING", send: () => [ping(FLAG.ack)], frames: 50_000 },
    { name: "empty DATA", first: [long], send: () => [data(1, "")], frames: 50_000 },
    {
      name: "DATA that is all padding",
      first: [long],
      send: () => [frame(FRAME.data, FLAG.padded, 1, Buffer.from([3, 0, 0, 0]))],
      frames: 50_000,
    },
    { name: "PRIORITY", send: (index) => [frame(FRAME.priority, 0, id(index), Buffer.alloc(5))], frames: 50_000 },
    {
      name: "PRIORITY that moves one stream about",
      first: [headers(1, never)],
      send: (index) => [
        frame(FRAME.priority, 0, 1, Buffer.concat([uint32(3 + 2 * (index % 100)), Buffer.from([index & 255])])),
      ],
      frames: 50_000,
    },
    { name: "WINDOW_UPDATE of the connection", send: () => [windowUpdate(0, 1)], frames: 50_000 },
    { name: "WINDOW_UPDATE of a stream", first: [long], send: () => [windowUpdate(1, 1)], frames: 50_000 },
    {
      name: "WINDOW_UPDATE of a stream that has ended",
      first: [headers(1, GET)],
      send: () => [windowUpdate(1, 1)],
      frames: 50_000,
    },
    { name: "unknown frames", send: () => [frame(0xf7, 0, 0, Buffer.alloc(4))], frames: 50_000 },
    {
      name: "frames for a stream that was reset",
      first: [long, rstStream(1, 8)],
      send: () => [data(1, "")],
      frames: 50_000,
    },
  ]);
});

describe("field blocks", () => {
  floods(enhanceYourCalm, [
    {
      name: "CONTINUATION of 16 KiB without an end",
      first: [frame(FRAME.headers, END, 1, Buffer.alloc(10))],
      send: () => [frame(FRAME.continuation, 0, 1, Buffer.alloc(16_384))],
      frames: 2_000,
    },
    {
      name: "empty CONTINUATION without an end",
      first: [headers(1, GET, END)],
      send: () => [frame(FRAME.continuation, 0, 1)],
      frames: 100_000,
    },
    {
      name: "empty blocks in many pieces, each ended",
      send: (index) => [
        frame(FRAME.headers, END, id(index)),
        frame(FRAME.continuation, 0, id(index)),
        frame(FRAME.continuation, ALL, id(index)),
      ],
      frames: 5_000,
    },
  ]);

  test("CONTINUATION without an end costs less than 256 KiB", async () => {
    const client = await FrameClient.open(balancer.port);
    client.send(frame(FRAME.headers, END, 1, Buffer.alloc(10)));
    let sent = 0;
    for (; !client.isOver && sent < 100; sent++) {
      client.send(frame(FRAME.continuation, 0, 1, Buffer.alloc(16_384)));
      await Bun.sleep(10);
    }
    expect(sent * 16_384).toBeLessThan(256 * 1_024);
  });

  test("HEADERS and CONTINUATION, closed at once, 200 times", async () => {
    for (let round = 0; round < 200; round++) {
      const client = await FrameClient.open(balancer.port);
      client.send(headers(1, GET, END), frame(FRAME.continuation, 0, 1, Buffer.alloc(100)));
      if (round % 2 === 0) client.socket.end();
      else client.socket.resetAndDestroy();
    }
    await expectServed(balancer.port);
  });

  test("an HPACK bomb: 16,000 references to a field of 4 KB get an answer, and no memory", async () => {
    const client = await FrameClient.open(balancer.port);
    const bomb = Buffer.concat([
      block(GET),
      Buffer.from([0x40]),
      integer(1, 7, 0),
      Buffer.from("x"),
      integer(4_000, 7, 0),
      Buffer.alloc(4_000, "y"),
      Buffer.alloc(12_000, 0x80 | 62),
    ]);
    client.send(
      frame(FRAME.headers, END, 1, bomb.subarray(0, 16_000)),
      frame(FRAME.continuation, ALL, 1, bomb.subarray(16_000)),
    );
    for (let stream = 3; stream < 100; stream += 2)
      client.send(frame(FRAME.headers, END | ALL, stream, Buffer.alloc(16_000, 0x80 | 62)));
    client.send(headers(101, GET));
    await client.until(() => client.isOver || client.isDone(101));
    expect([431, 0]).toContain(client.answers.get(1)?.status ?? 0);
    await expectServed(balancer.port);
  });

  test("2,000 fields of 200 bytes", async () => {
    const client = await FrameClient.open(balancer.port);
    const many = block([...GET, ...Array.from({ length: 2_000 }, (_, index): Pair => [`x-${index}`, "v".repeat(200)])]);
    client.send(frame(FRAME.headers, END, 1, many.subarray(0, 16_384)));
    for (let at = 16_384; at < many.length; at += 16_384)
      client.send(frame(FRAME.continuation, at + 16_384 < many.length ? 0 : ALL, 1, many.subarray(at, at + 16_384)));
    await client.until(() => client.isOver);
    expect(client.goaway?.code).toBe(enhanceYourCalm);
  });

  test("a dynamic table that is made small and large again and again", async () => {
    const client = await FrameClient.open(balancer.port);
    const updates = Buffer.concat(
      Array.from({ length: 1_000 }, (_, index) => integer(index % 2 === 0 ? 0 : 4_096, 5, 0x20)),
    );
    client.send(frame(FRAME.headers, END | ALL, 1, Buffer.concat([updates, block(GET)])));
    await client.until(() => client.isOver || client.isDone(1));
    expect([compressionError, undefined]).toContain(client.goaway?.code as never);
    await expectServed(balancer.port);
  });
});

describe("connections", () => {
  test("300 connections that never send the preface, or half of it, or no SETTINGS are closed", async () => {
    const hellos = [PREFACE.subarray(0, 17), PREFACE, Buffer.concat([PREFACE, settings().subarray(0, 5)])];
    const clients = await Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        FrameClient.open(balancer.port, { hello: hellos[index % 3] as Buffer, acknowledges: false }),
      ),
    );
    for (let probe = 0; probe < 10; probe++) await expectServed(balancer.port);
    for (const client of clients) await client.until(() => client.isOver);
  }, 30_000);

  test("a field block that drips in ends at the header timeout, however steadily it drips", async () => {
    const client = await FrameClient.open(balancer.port);
    await client.until(() => client.frames.length > 1);
    client.send(headers(1, GET).subarray(0, 12));
    const drip = setInterval(() => client.send(Buffer.alloc(1)), 100);
    await client.until(() => client.isOver);
    clearInterval(drip);
  });

  test("the last number there is can be used, and is the last", async () => {
    const client = await FrameClient.open(balancer.port);
    client.send(headers(2 ** 31 - 1, GET));
    await client.until(() => client.isDone(2 ** 31 - 1));
    expect(client.answers.get(2 ** 31 - 1)?.status).toBe(200);
    client.send(headers(1, GET));
    await client.until(() => client.isOver);
    expect(client.goaway?.code).toBe(protocolError);
  });

  test("3,000 connections, each with a frame that is wrong", async () => {
    for (let round = 0; round < 30; round++) {
      const clients = await Promise.all(Array.from({ length: 100 }, () => FrameClient.open(balancer.port)));
      for (const [index, client] of clients.entries())
        client.send(index % 2 === 0 ? windowUpdate(0, 2 ** 31 - 1) : data(0, "x"));
      for (const client of clients) {
        await client.until(() => client.isOver);
        client.leave();
      }
    }
    await expectServed(balancer.port);
  }, 60_000);
});
