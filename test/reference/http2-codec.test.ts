/** The HTTP/2 codec against others: blocks made by nghttp2's encoder, and a conversation with Node's HTTP/2 server. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { seededRandom } from "../../src/base/random.ts";
import { inspectResponse, ResponseFields } from "../../src/protocols/http2/field-rules.ts";
import type { FrameHandler } from "../../src/protocols/http2/frame-handler.ts";
import { FrameReader } from "../../src/protocols/http2/frame-reader.ts";
import {
  beginHeaders,
  endHeaders,
  writePreface,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from "../../src/protocols/http2/frame-writers.ts";
import { SETTING } from "../../src/protocols/http2/frames.ts";
import { HeaderList } from "../../src/protocols/http2/header-list.ts";
import { DECODED, HpackDecoder } from "../../src/protocols/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../src/protocols/http2/hpack-encoder.ts";
import { DEFAULT_READER_LIMITS } from "../../src/protocols/http2/reader-options.ts";
import { type Pair, pairsOf } from "../../src/protocols/http2/testing.ts";
import { ByteWriter } from "../../src/transport/byte-writer.ts";
import stories from "./hpack-stories.json";

const LIMITS = { listBytes: 65_536, fields: 200 };

for (const { name, limit, blocks } of stories) {
  test(`decodes what nghttp2 encoded: ${name}, ${blocks.length} blocks`, () => {
    const decoder = new HpackDecoder({ ...LIMITS, tableBytes: limit });
    const list = new HeaderList();
    for (const { wire, fields } of blocks) {
      const block = Buffer.from(wire, "hex");
      expect([decoder.decode(block, 0, block.length, list), decoder.problem]).toEqual([DECODED, undefined]);
      expect(pairsOf(list)).toEqual(fields as unknown as Pair[]);
      for (let field = 0; field < list.count; field++) {
        if (list.name(field) === "authorization" || list.name(field) === "x-secret")
          expect(list.neverIndexed(field)).toBe(true);
      }
    }
  });
}

const node = Bun.which("node");
if (node === null) console.log("skipped: no node to talk to");
for (const [ours, theirs] of node === null
  ? []
  : ([
      [4_096, 4_096],
      [0, 0],
      [65_536, 16_384],
      [300, 200],
    ] as const)) {
  test(`Node reads what we encode, and we what it encodes; tables of ${ours} and ${theirs} bytes`, async () => {
    const peer = Bun.spawn([node as string, join(import.meta.dir, "http2-peer.mjs"), String(theirs)], {
      stdin: "pipe",
    });
    try {
      const port = Number(await firstLine(peer.stdout));
      const requests = randomRequests(150, ours + theirs);
      const answers = await converse(port, requests, ours);
      expect(answers.size).toBe(requests.length);
      for (const [index, request] of requests.entries()) {
        const answer = answers.get(index * 2 + 1) as Answer;
        expect(answer.seen).toEqual(request.flat());
        // Node puts fields of one name together.
        const regular = request.filter(([name]) => !name.startsWith(":"));
        expect(answer.fields.slice(1).sort()).toEqual(regular.sort());
        expect(answer.fields[0]).toEqual([":status", "200"]);
      }
    } finally {
      peer.stdin.end();
      await peer.exited;
    }
  }, 30_000);
}

interface Answer {
  fields: Pair[];
  body: string;
  seen: string[];
}

/** Sends all requests over one connection, ten after each piece of answers, and gives the answers by stream. */
async function converse(port: number, requests: readonly Pair[][], tableBytes: number): Promise<Map<number, Answer>> {
  const done = Promise.withResolvers<Map<number, Answer>>();
  const answers = new Map<number, Answer>();
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder({ ...LIMITS, tableBytes: 4_096 });
  const output = new ByteWriter(1_024);
  const list = new HeaderList();
  const response = new ResponseFields();
  let next = 0;
  let complete = 0;
  const fail = (reason: string): void => done.reject(new Error(reason));
  const send = (): void => {
    for (const until = Math.min(requests.length, next + 10); next < until; next++) {
      const mark = beginHeaders(output);
      encoder.begin(output);
      for (const [name, value] of requests[next] as Pair[]) encoder.text(output, name, value);
      endHeaders(output, mark, next * 2 + 1, true, 16_384);
    }
  };
  const handler: FrameHandler = {
    dataBegin: () => {},
    data: (streamId, bytes, start, end) => {
      (answers.get(streamId) as Answer).body += bytes.toString("utf8", start, end);
    },
    dataEnd: (streamId, endStream) => {
      if (!endStream) return;
      const answer = answers.get(streamId) as Answer;
      answer.seen = JSON.parse(answer.body) as string[];
      if (++complete === requests.length) done.resolve(answers);
      else if (complete === next) send();
    },
    headers: (streamId, block, start, end) => {
      if (decoder.decode(block, start, end, list) !== DECODED) return fail(`decoding: ${decoder.problem}`);
      const problem = inspectResponse(list, response);
      if (problem !== undefined) return fail(`${problem}: ${JSON.stringify(pairsOf(list))}`);
      answers.set(streamId, { fields: pairsOf(list), body: "", seen: [] });
    },
    setting: (id, value) => {
      if (id === SETTING.headerTableSize) encoder.setPeerTableLimit(value);
    },
    settingsEnd: () => {
      writeSettingsAck(output);
      send();
    },
    settingsAck: () => decoder.setTableLimit(tableBytes),
    priority: () => {},
    rstStream: (streamId, code) => fail(`stream ${streamId} was reset: ${code}`),
    ping: () => {},
    pingAck: () => {},
    goaway: (_last, code) => fail(`GOAWAY ${code}`),
    windowUpdate: () => {},
    unknownFrame: () => {},
    streamError: (_streamId, _code, reason) => fail(reason),
    connectionError: (_code, reason) => fail(reason),
  };
  const reader = new FrameReader(handler, { ...DEFAULT_READER_LIMITS, role: "client" });
  writePreface(output);
  writeSettings(output, [SETTING.headerTableSize, tableBytes]);
  writeWindowUpdate(output, 0, 100_000_000);
  const flush = (socket: { write(bytes: Buffer): number }): void => {
    const written = Math.max(0, socket.write(output.bytes.subarray(0, output.length)));
    output.bytes.copyWithin(0, written, output.length);
    output.length -= written;
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: flush,
      drain: flush,
      data(socket, bytes) {
        reader.consume(bytes, 0, bytes.length);
        flush(socket);
      },
      close: () => fail("the connection was closed"),
    },
  });
  try {
    return await done.promise;
  } finally {
    socket.end();
  }
}

function randomRequests(count: number, seed: number): Pair[][] {
  const random = seededRandom(seed);
  const text = (length: number): string =>
    Array.from({ length }, () => String.fromCharCode(0x21 + random.below(0x5e))).join("");
  return Array.from({ length: count }, (_, index) => {
    const fields = Array.from(
      { length: random.below(10) },
      (): Pair => [`x-${random.below(25)}`, text(random.below(80))],
    );
    const request: Pair[] = [
      [":method", random.below(2) === 0 ? "GET" : "DELETE"],
      [":scheme", "http"],
      [":authority", `host-${random.below(4)}.example`],
      [":path", `/${index}/${random.below(10)}`],
      ["user-agent", "codec-test/1"],
    ];
    // Repeated, so that the table is used; one larger than a frame, so that CONTINUATION is.
    if (index % 3 === 0) request.push(["x-repeated", "the same every time"], ["authorization", "Bearer 0123"]);
    if (index === 20) request.push(["x-large", text(18_000)]);
    return [...request, ...fields];
  });
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const { value } = await stream.getReader().read();
  return Buffer.from(value ?? new Uint8Array())
    .toString()
    .trim();
}
