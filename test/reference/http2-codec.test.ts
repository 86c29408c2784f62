/** The HTTP/2 codec against others: blocks made by nghttp2's encoder, and a conversation with Node's HTTP/2 server. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { seededRandom } from "../../src/base/random.ts";
import { inspectResponse, ResponseFields } from "../../src/protocols/http2/field-rules.ts";
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
import { type Pair, pairsOf, Recorder } from "../../src/protocols/http2/testing.ts";
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
        expect(sorted(answer.fields.slice(1))).toEqual(sorted(regular));
        expect(answer.fields[0]).toEqual([":status", "200"]);
      }
    } finally {
      await peer.stdin.end();
      await peer.exited;
    }
  }, 30_000);
}

interface Answer {
  fields: Pair[];
  body: string;
  seen: string[];
}

const sorted = (pairs: readonly Pair[]): string[] => pairs.map((pair) => pair.join(": ")).toSorted();

/** A client that sends ten requests, and ten more when all before were answered. */
class Client extends Recorder {
  readonly done = Promise.withResolvers<Map<number, Answer>>();
  readonly output = new ByteWriter(1_024);
  readonly #answers = new Map<number, Answer>();
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder({ ...LIMITS, tableBytes: 4_096 });
  readonly #list = new HeaderList();
  readonly #response = new ResponseFields();
  readonly #requests: readonly Pair[][];
  readonly #tableBytes: number;
  #sent = 0;
  #complete = 0;

  constructor(requests: readonly Pair[][], tableBytes: number) {
    super();
    this.#requests = requests;
    this.#tableBytes = tableBytes;
    writePreface(this.output);
    writeSettings(this.output, [SETTING.headerTableSize, tableBytes]);
    writeWindowUpdate(this.output, 0, 100_000_000);
  }

  flush(socket: { write(bytes: Buffer): number }): void {
    const { output } = this;
    const written = Math.max(0, socket.write(output.bytes.subarray(0, output.length)));
    output.bytes.copyWithin(0, written, output.length);
    output.length -= written;
  }

  fail(reason: string): void {
    this.done.reject(new Error(reason));
  }

  #send(): void {
    for (const until = Math.min(this.#requests.length, this.#sent + 10); this.#sent < until; this.#sent++) {
      const mark = beginHeaders(this.output);
      this.#encoder.begin(this.output);
      for (const [name, value] of this.#requests[this.#sent] as Pair[]) this.#encoder.text(this.output, name, value);
      endHeaders(this.output, mark, this.#sent * 2 + 1, true, 16_384);
    }
  }

  override data(streamId: number, bytes: Buffer, start: number, end: number): void {
    (this.#answers.get(streamId) as Answer).body += bytes.toString("utf8", start, end);
  }
  override dataEnd(streamId: number, endStream: boolean): void {
    if (!endStream) return;
    const answer = this.#answers.get(streamId) as Answer;
    answer.seen = JSON.parse(answer.body) as string[];
    if (++this.#complete === this.#requests.length) this.done.resolve(this.#answers);
    else if (this.#complete === this.#sent) this.#send();
  }
  override headers(streamId: number, block: Buffer, start: number, end: number): void {
    const list = this.#list;
    if (this.#decoder.decode(block, start, end, list) !== DECODED) this.fail(`decoding: ${this.#decoder.problem}`);
    const problem = inspectResponse(list, this.#response);
    if (problem !== undefined) this.fail(`${problem}: ${JSON.stringify(pairsOf(list))}`);
    this.#answers.set(streamId, { fields: pairsOf(list), body: "", seen: [] });
  }
  override setting(id: number, value: number): void {
    if (id === SETTING.headerTableSize) this.#encoder.setPeerTableLimit(value);
  }
  override settingsEnd(): void {
    writeSettingsAck(this.output);
    this.#send();
  }
  override settingsAck(): void {
    this.#decoder.setTableLimit(this.#tableBytes);
  }
  override rstStream(streamId: number, code: number): void {
    this.fail(`stream ${streamId} was reset: ${code}`);
  }
  override goaway(_lastStreamId: number, code: number): void {
    this.fail(`GOAWAY ${code}`);
  }
  override streamError(_streamId: number, _code: number, reason: string): void {
    this.fail(reason);
  }
  override connectionError(_code: number, reason: string): void {
    this.fail(reason);
  }
}

/** Sends all requests over one connection, and gives the answers by stream. */
async function converse(port: number, requests: readonly Pair[][], tableBytes: number): Promise<Map<number, Answer>> {
  const client = new Client(requests, tableBytes);
  const reader = new FrameReader(client, { ...DEFAULT_READER_LIMITS, role: "client" });
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => client.flush(socket),
      drain: (socket) => client.flush(socket),
      data(socket, bytes) {
        reader.consume(bytes, 0, bytes.length);
        client.flush(socket);
      },
      close: () => client.fail("the connection was closed"),
    },
  });
  try {
    return await client.done.promise;
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
