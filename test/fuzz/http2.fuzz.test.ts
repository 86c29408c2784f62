/**
 * HTTP/2 requests in frames of any size and order: the endpoint must get exactly what was asked for, as the reference
 * parser reads it. And frames with anything done to them: whatever comes of it, nothing of it may be left.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import {
  ALL,
  data,
  END,
  FLAG,
  FRAME,
  FrameClient,
  frame,
  integer,
  leaveAll,
  type Pair,
  PREFACE,
  settings,
} from "../support/http2-client.ts";
import { type RawEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";
import { cuts, placesOf, runs, within } from "./generators.ts";
import { type ReferenceMessage, readRequest } from "./reference-parser.ts";

const LIMITS = { bytes: 65_536, fields: 100 };
/** Nothing may come between the bytes of a test. */
const SILENT = { acknowledges: false, keepWindowsOpen: false } as const;
/** What evenkeel adds for endpoints. */
const ADDED = /^(x-forwarded-.*|x-real-ip|via|x-request-id|connection)$/;

interface Request {
  readonly method: string;
  readonly path: string;
  readonly fields: readonly Pair[];
  readonly cookies: readonly string[];
  /** Undefined: the request ends with its head. */
  readonly body: readonly { readonly text: string; readonly padding: number }[] | undefined;
  readonly tellsLength: boolean;
  readonly trailers: boolean;
  /** Of each literal: how it is to be indexed. */
  readonly indexing: readonly number[];
  /** Where its field block is cut. */
  readonly pieces: readonly number[];
  readonly padding: number;
  readonly priority: boolean;
}

const token = fc.stringMatching(/^[a-z0-9!#$%&'*+.^`|~-]{1,12}$/);
const value = fc.stringMatching(/^([\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff\t]{0,20}[\x21-\x7e\x80-\xff])?)?$/);
const request: fc.Arbitrary<Request> = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"),
  path: fc.stringMatching(/^\/[a-zA-Z0-9~_-]{0,10}(\?[a-zA-Z0-9/?=&%+-]{0,10})?$/),
  fields: fc.array(
    fc.tuple(
      token.map((name): string => `x-${name}`),
      value,
    ),
    { maxLength: 8 },
  ),
  cookies: fc.array(fc.stringMatching(/^[a-z]=[a-z0-9]{0,5}$/), { maxLength: 3 }),
  body: fc.option(
    fc.array(
      fc.record({
        text: fc.oneof(fc.string({ unit: "binary-ascii", maxLength: 40 }), fc.constant("y".repeat(16_000))),
        padding: fc.constantFrom(0, 0, 1, 7, 255),
      }),
      { maxLength: 4 },
    ),
    { nil: undefined },
  ),
  tellsLength: fc.boolean(),
  trailers: fc.boolean(),
  indexing: fc.array(fc.constantFrom(0x00, 0x10, 0x40), { minLength: 1, maxLength: 6 }),
  pieces: fc.array(fc.nat(300), { maxLength: 4 }),
  padding: fc.constantFrom(0, 0, 3, 200),
  priority: fc.boolean(),
});

/** The literals of a field block, without Huffman code, in or out of the dynamic table. */
function literals(pairs: readonly Pair[], indexing: readonly number[]): Buffer {
  const text = (part: string): Buffer => Buffer.concat([integer(part.length, 7, 0), Buffer.from(part, "latin1")]);
  return Buffer.concat(
    pairs.flatMap(([name, content], index) => [
      Buffer.from([indexing[index % indexing.length] as number]),
      text(name),
      text(content),
    ]),
  );
}

function fieldsOf(asked: Request, number: number): Pair[] {
  const length = (asked.body ?? []).reduce((sum, { text }) => sum + Buffer.byteLength(text, "latin1"), 0);
  return [
    [":method", asked.method],
    [":path", asked.path],
    [":scheme", "http"],
    [":authority", `n${number}.example`],
    ...asked.fields,
    ...asked.cookies.map((cookie): Pair => ["cookie", cookie]),
    ...(asked.tellsLength && asked.body !== undefined ? ([["content-length", `${length}`]] as const) : []),
  ];
}

/** The frames of one request. Those that must not be parted by others stand together. */
function framesOf(asked: Request, number: number, streamId: number): Buffer[] {
  const ends = asked.body === undefined;
  const frames = [fieldBlock(asked, fieldsOf(asked, number), streamId, ends)];
  if (asked.body === undefined) return frames;
  for (const { text, padding } of asked.body) frames.push(padded(streamId, Buffer.from(text, "latin1"), padding));
  if (asked.trailers) frames.push(fieldBlock(asked, [["x-last", `${number}`]], streamId, true));
  else frames.push(data(streamId, "", END));
  return frames;
}

function padded(streamId: number, bytes: Buffer, padding: number): Buffer {
  if (padding === 0) return data(streamId, bytes);
  const payload = Buffer.concat([Buffer.from([padding]), bytes, Buffer.alloc(padding)]);
  return frame(FRAME.data, FLAG.padded, streamId, payload);
}

function fieldBlock(asked: Request, pairs: readonly Pair[], streamId: number, ends: boolean): Buffer {
  const block = literals(pairs, asked.indexing);
  const places = [...new Set(asked.pieces.map((place) => place % (block.length + 1)))].sort((a, b) => a - b);
  const pieces = [...places, block.length].map((place, index) => block.subarray(places[index - 1] ?? 0, place));
  return Buffer.concat(
    pieces.map((piece, index) => {
      const last = index === pieces.length - 1 ? ALL : 0;
      if (index > 0) return frame(FRAME.continuation, last, streamId, piece);
      const { padding, priority } = asked;
      const flags = last | (ends ? END : 0) | (padding > 0 ? FLAG.padded : 0) | (priority ? FLAG.priority : 0);
      const before = [...(padding > 0 ? [padding] : []), ...(priority ? [0, 0, 0, 0, 9] : [])];
      return frame(FRAME.headers, flags, streamId, Buffer.concat([Buffer.from(before), piece, Buffer.alloc(padding)]));
    }),
  );
}

/** The frames of all requests, mixed as `choices` say; streams get their numbers in the order in which they begin. */
function mixed(requests: readonly Request[], choices: readonly number[]): Buffer {
  const all: Buffer[] = [];
  const open: Buffer[][] = [];
  let begun = 0;
  for (let step = 0; begun < requests.length || open.some((frames) => frames.length > 0); step++) {
    const choice = choices[step % choices.length] as number;
    const waiting = open.filter((frames) => frames.length > 0);
    if (begun < requests.length && (waiting.length === 0 || choice % 3 === 0)) {
      open.push(framesOf(requests[begun] as Request, begun, 1 + 2 * begun));
      begun++;
      all.push((open.at(-1) as Buffer[]).shift() as Buffer);
    } else all.push((waiting[choice % waiting.length] as Buffer[]).shift() as Buffer);
  }
  return Buffer.concat(all);
}

const requests = fc.array(request, { minLength: 1, maxLength: 5 });
const choices = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 20 });

let balancer: Balancer;
let endpoint: RawEndpoint;
let seen: ReferenceMessage[] = [];
let wires: string[] = [];

beforeAll(() => {
  const unread = new WeakMap<object, string>();
  endpoint = startRawEndpoint((socket, _all, piece) => {
    let rest = (unread.get(socket.identity) ?? "") + piece;
    for (;;) {
      const message = readRequest(rest, LIMITS);
      if (message.head !== "complete" || message.body !== "complete") break;
      seen.push(message);
      wires.push(rest.slice(0, message.bodyEnd));
      rest = rest.slice(message.bodyEnd);
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    unread.set(socket.identity, rest);
  });
  balancer = startBalancer({
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    pools: { app: { endpoints: [endpoint.address] } },
  });
});
afterAll(async () => {
  leaveAll();
  await balancer.stop();
  endpoint.stop();
});

async function send(client: FrameClient, bytes: Buffer, fractions: readonly number[]): Promise<void> {
  let start = 0;
  for (const end of placesOf(bytes.length, fractions)) {
    if (end > start) client.send(bytes.subarray(start, end));
    start = end;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

interface Told {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly fields: readonly Pair[];
  readonly data: string;
}

function sorted(fields: readonly Pair[]): Pair[] {
  return [...fields].sort((a, b) => a.join().localeCompare(b.join()));
}

/** What the endpoint must have got for `asked`. */
function expected(asked: Request, number: number): Told {
  const cookies: Pair[] = asked.cookies.length === 0 ? [] : [["cookie", asked.cookies.join("; ")]];
  const length = fieldsOf(asked, number).filter(([name]) => name === "content-length");
  const fields = [...asked.fields, ...cookies, ...length];
  return {
    method: asked.method,
    target: asked.path,
    host: `n${number}.example`,
    fields: sorted(fields),
    data: (asked.body ?? []).map(({ text }) => text).join(""),
  };
}

function told(message: ReferenceMessage): Told {
  const headers = message.headers.map(([name, content]): Pair => [name.toLowerCase(), content]);
  return {
    method: message.method,
    target: message.target,
    host: headers.find(([name]) => name === "host")?.[1] ?? "",
    fields: sorted(headers.filter(([name]) => !ADDED.test(name) && name !== "host" && name !== "transfer-encoding")),
    data: message.data,
  };
}

test(
  "the endpoint gets exactly what was asked for",
  async () => {
    await fc.assert(
      fc.asyncProperty(requests, choices, cuts, async (asked, order, fractions) => {
        seen = [];
        wires = [];
        const client = await FrameClient.open(balancer.port, { hello: PREFACE, ...SILENT });
        await send(client, Buffer.concat([settings(), mixed(asked, order)]), fractions);
        await client.until(() => asked.every((_, number) => client.isDone(1 + 2 * number)));
        const statuses = asked.map((_, number) => client.answer(1 + 2 * number).status);
        client.leave();
        expect(statuses).toEqual(asked.map(() => 200));
        const got = seen.map(told).sort((a, b) => a.host.localeCompare(b.host));
        expect(got).toEqual(asked.map(expected));
        for (const [number, { body, trailers, tellsLength }] of asked.entries()) {
          const wire = wires.find((text) => text.includes(`Host: n${number}.example\r\n`)) ?? "";
          const passedOn = body !== undefined && trailers && !tellsLength;
          expect(wire.endsWith(`0\r\nx-last: ${number}\r\n\r\n`)).toBe(passedOn);
        }
        expect(balancer.inFlight()).toBe(0);
      }),
      { ...runs(150), endOnFailure: true },
    );
  },
  within(120_000),
);

const mutation = fc.oneof(
  fc.record({ kind: fc.constant("flip"), at: fc.double({ min: 0, max: 1, noNaN: true }), byte: fc.nat(255) }),
  fc.record({ kind: fc.constant("drop"), at: fc.double({ min: 0, max: 1, noNaN: true }), byte: fc.nat(40) }),
  fc.record({ kind: fc.constant("twice"), at: fc.double({ min: 0, max: 1, noNaN: true }), byte: fc.nat(200) }),
  fc.record({ kind: fc.constant("frame"), at: fc.double({ min: 0, max: 1, noNaN: true }), byte: fc.nat(255) }),
);

function changed(bytes: Buffer, { kind, at, byte }: { kind: string; at: number; byte: number }): Buffer {
  const place = Math.floor(at * bytes.length);
  if (kind === "drop") return Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + byte)]);
  if (kind === "twice") return Buffer.concat([bytes.subarray(0, place), bytes.subarray(Math.max(0, place - byte))]);
  if (kind === "frame") {
    const extra = frame(byte % 11, byte, byte % 7, Buffer.alloc(byte % 13, byte));
    return Buffer.concat([bytes.subarray(0, place), extra, bytes.subarray(place)]);
  }
  const copy = Buffer.from(bytes);
  if (place < copy.length) copy[place] = byte;
  return copy;
}

test(
  "frames with anything done to them crash nothing and leave nothing behind",
  async () => {
    const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        requests,
        choices,
        mutations,
        cuts,
        fc.boolean(),
        async (asked, order, changes, fractions, resets) => {
          let bytes = mixed(asked, order);
          for (const change of changes) bytes = changed(bytes, change);
          const client = await FrameClient.open(balancer.port, SILENT);
          await send(client, bytes, fractions);
          await settled(() => client.isOver || asked.every((_, number) => client.isDone(1 + 2 * number)), 4);
          if (resets) client.socket.resetAndDestroy();
          client.leave();
          await settled(() => balancer.inFlight() === 0 && balancer.openConnections() === 0, 1_000);
          expect([balancer.inFlight(), balancer.openConnections()]).toEqual([0, 0]);
        },
      ),
      runs(250),
    );
    const { status } = await fetch(`http://127.0.0.1:${balancer.port}/`, { headers: { Connection: "close" } });
    expect(status).toBe(200);
  },
  within(120_000),
);

test("bytes that are no frames at all do not either", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), fc.boolean(), async (bytes, greets) => {
      const hello = greets ? Buffer.concat([PREFACE, settings()]) : PREFACE;
      const client = await FrameClient.open(balancer.port, { hello: Buffer.concat([hello, bytes]), ...SILENT });
      await settled(() => client.isOver, 2);
      client.leave();
      await settled(() => balancer.openConnections() === 0, 1_000);
      expect([balancer.inFlight(), balancer.openConnections()]).toEqual([0, 0]);
    }),
    runs(150),
  );
}, 60_000);

/** Waits for a while, in steps of a few milliseconds. */
async function settled(condition: () => boolean, steps: number): Promise<void> {
  for (let step = 0; step < steps && !condition(); step++) await Bun.sleep(3);
}
