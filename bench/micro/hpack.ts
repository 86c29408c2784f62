/**
 * HPACK: nanoseconds to decode and to encode the fields of a typical request and response, in a connection's first block
 * and in those that follow. `node tools/run.mjs bench/micro/hpack.ts [rounds]`
 */
import { inspectRequest, RequestFields } from "../../src/protocols/http2/field-rules.ts";
import { HeaderList } from "../../src/protocols/http2/header-list.ts";
import { DECODED, HpackDecoder } from "../../src/protocols/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../src/protocols/http2/hpack-encoder.ts";
import { ByteWriter } from "../../src/transport/byte-writer.ts";

const rounds = Number(process.argv[2] ?? 200_000);
const LIMITS = { tableBytes: 4_096, listBytes: 65_536, fields: 100 };
const AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/** Fields of one request; its path, query and trace change from one to the next. */
const request = (index: number): [string, string][] => [
  [":method", "GET"],
  [":authority", "www.example.org"],
  [":scheme", "https"],
  [":path", `/api/v1/items/${index % 1_000}?page=${index % 7}`],
  ["user-agent", AGENT],
  ["accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"],
  ["accept-encoding", "gzip, deflate, br, zstd"],
  ["accept-language", "en-GB,en;q=0.9"],
  ["cookie", "session=4f6d1c0e8a7b49d2a1c3e5f708192a3b; theme=dark"],
  ["referer", "https://www.example.org/items"],
  ["sec-fetch-mode", "cors"],
  ["traceparent", `00-4bf92f3577b34da6a3ce929d0e0e4736-${(0x00f067aa + index).toString(16)}-01`],
];
const response = (index: number): [string, string][] => [
  [":status", "200"],
  ["date", "Mon, 02 Mar 2026 10:00:00 GMT"],
  ["content-type", "application/json"],
  ["content-length", String(1_000 + (index % 500))],
  ["cache-control", "no-store"],
  ["server", "origin"],
  ["x-request-id", `${(0x10000000 + index).toString(16)}-abcd`],
];

const VARIANTS = 1_000;
for (const [name, make] of [
  ["request", request],
  ["response", response],
] as const) {
  const lists = Array.from({ length: VARIANTS }, (_, index) => listOf(make(index)));
  const writer = new ByteWriter(4_096);
  const first = encodeBlock(new HpackEncoder(), writer, lists[0] as HeaderList);
  const encoder = new HpackEncoder();
  const blocks = lists.map((list) => encodeBlock(encoder, writer, list));
  const list = new HeaderList();
  const plainBytes = (lists[0] as HeaderList).length;

  report(`${name}: decode the first block (${first.length} of ${plainBytes} bytes)`, rounds / 5, () => {
    decode(new HpackDecoder(LIMITS), first, list);
  });
  const decoder = new HpackDecoder(LIMITS);
  for (const block of blocks) decode(decoder, block, list);
  const steady = blocks[1] as Buffer;
  report(`${name}: decode the next (${steady.length} bytes)`, rounds, (round) => {
    decode(decoder, blocks[1 + (round % (VARIANTS - 1))] as Buffer, list);
  });
  if (name === "request") {
    const fields = new RequestFields();
    report(`${name}: hold the fields against the rules`, rounds, () => inspectRequest(list, fields, false));
  }
  report(`${name}: encode the first block`, rounds / 5, () =>
    encodeInto(new HpackEncoder(), writer, lists[0] as HeaderList),
  );
  report(`${name}: encode the next`, rounds, (round) => {
    encodeInto(encoder, writer, lists[round % VARIANTS] as HeaderList);
  });
}

function listOf(pairs: readonly [string, string][]): HeaderList {
  const list = new HeaderList();
  for (const [name, value] of pairs) list.add(name, value);
  return list;
}

function encodeInto(encoder: HpackEncoder, writer: ByteWriter, list: HeaderList): void {
  writer.clear();
  encoder.begin(writer);
  const { bytes } = list;
  for (let field = 0; field < list.count; field++) {
    encoder.field(
      writer,
      bytes,
      list.nameStart(field),
      list.nameEnd(field),
      list.valueStart(field),
      list.valueEnd(field),
    );
  }
}

function encodeBlock(encoder: HpackEncoder, writer: ByteWriter, list: HeaderList): Buffer {
  encodeInto(encoder, writer, list);
  return Buffer.from(writer.bytes.subarray(0, writer.length));
}

function decode(decoder: HpackDecoder, block: Buffer, list: HeaderList): void {
  if (decoder.decode(block, 0, block.length, list) !== DECODED) throw new Error(decoder.problem);
}

/** The best of five runs: what the code costs when nothing else wants the processor. */
function report(what: string, count: number, run: (round: number) => void): void {
  for (let round = 0; round < count / 10; round++) run(round);
  let best = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 5; attempt++) {
    const started = Bun.nanoseconds();
    for (let round = 0; round < count; round++) run(round);
    best = Math.min(best, (Bun.nanoseconds() - started) / count);
  }
  console.log(`${String(Math.round(best)).padStart(7)} ns  ${what}`);
}
