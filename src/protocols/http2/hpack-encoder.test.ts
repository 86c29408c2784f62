import { describe, expect, test } from "bun:test";
import { HeaderList } from "./header-list.ts";
import { DECODED, type HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { STATIC_NAME } from "./hpack-static-table.ts";
import { encode, newDecoder, Output, type Pair, pairsOf } from "./testing.ts";

const list = new HeaderList();
const roundTrip = (encoder: HpackEncoder, decoder: HpackDecoder, pairs: readonly Pair[]): Buffer => {
  const block = encode(encoder, pairs);
  expect(decoder.decode(block, 0, block.length, list)).toBe(DECODED);
  expect(pairsOf(list)).toEqual([...pairs]);
  return block;
};

test("the second time, a field costs one byte", () => {
  const [encoder, decoder] = [new HpackEncoder(), newDecoder()];
  const pairs: Pair[] = [
    [":authority", "www.example.com"],
    ["user-agent", "curl/8.5.0"],
    ["x-custom", "some value"],
    ["x-custom", "some other value"],
    ["accept", ""],
  ];
  expect(roundTrip(encoder, decoder, pairs).length).toBeGreaterThan(30);
  expect(roundTrip(encoder, decoder, pairs).length).toBe(pairs.length);
});

test("names leave in lower case, however they come", () => {
  const [encoder, decoder, output] = [new HpackEncoder(), newDecoder(), new Output()];
  const head = Buffer.from("X-Custom: Some Value\r\nAccept-Encoding: gzip, deflate\r\n");
  encoder.begin(output);
  encoder.field(output, head, 0, 8, 10, 20);
  encoder.field(output, head, 22, 37, 39, 52);
  encoder.text(output, "x-custom", "Some Value");
  const block = output.take();
  expect(decoder.decode(block, 0, block.length, list)).toBe(DECODED);
  expect(pairsOf(list)).toEqual([
    ["x-custom", "Some Value"],
    ["accept-encoding", "gzip, deflate"],
    ["x-custom", "Some Value"],
  ]);
  expect([...block.subarray(-2)]).toEqual([0x90, 0xbe]);
});

describe("what is indexed", () => {
  const cases: [name: string, value: string, indexed: boolean, never: boolean][] = [
    ["authorization", "Bearer 0123456789012345678901234567890123456789", false, true],
    ["proxy-authorization", "Basic YTpi", false, true],
    ["set-cookie", "id=0123456789012345678901234567890123456789; Secure", false, true],
    ["cookie", "id=1", false, true],
    ["cookie", "id=0123456789012345678901234567890123456789", true, false],
    ["content-length", "12345", false, false],
    [":path", "/a/b/c", false, false],
    ["etag", '"abc"', false, false],
    ["x-request-id", "0123", false, false],
    ["content-type", "text/html", true, false],
    ["x-large", "v".repeat(3_000), false, false],
  ];
  for (const [name, value, indexed, never] of cases) {
    test(`${name}: ${value.slice(0, 12)}`, () => {
      const [encoder, decoder] = [new HpackEncoder(), newDecoder()];
      roundTrip(encoder, decoder, [[name, value]]);
      expect(list.neverIndexed(0)).toBe(never);
      expect(encoder.tableBytes > 0).toBe(indexed);
      const again = roundTrip(encoder, decoder, [[name, value]]);
      expect(again.length === 1).toBe(indexed);
    });
  }

  test("a field that came never indexed leaves so, even one that is in the static table", () => {
    const [encoder, decoder, output] = [new HpackEncoder(), newDecoder(), new Output()];
    encoder.text(output, "x-secret", "value", true);
    encoder.text(output, ":method", "GET", true);
    const block = output.take();
    expect(decoder.decode(block, 0, block.length, list)).toBe(DECODED);
    expect([list.neverIndexed(0), list.neverIndexed(1), encoder.tableBytes]).toEqual([true, true, 0]);
    expect(pairsOf(list)).toEqual([
      ["x-secret", "value"],
      [":method", "GET"],
    ]);
  });
});

test("every status", () => {
  const [encoder, decoder, output] = [new HpackEncoder(), newDecoder(), new Output()];
  for (let status = 100; status < 600; status++) {
    encoder.begin(output);
    encoder.status(output, status);
    const block = output.take();
    expect(decoder.decode(block, 0, block.length, list)).toBe(DECODED);
    expect(pairsOf(list)).toEqual([[":status", String(status)]]);
    if ([200, 204, 206, 304, 400, 404, 500].includes(status)) expect(block.length).toBe(1);
  }
});

test("pseudo-headers by their static name", () => {
  const [encoder, decoder, output] = [new HpackEncoder(), newDecoder(), new Output()];
  const bytes = Buffer.from("GET/somewhere?x=1example.org:8080https");
  for (let round = 0; round < 2; round++) {
    encoder.begin(output);
    encoder.named(output, STATIC_NAME.method, bytes, 0, 3);
    encoder.named(output, STATIC_NAME.scheme, bytes, 33, 38);
    encoder.named(output, STATIC_NAME.authority, bytes, 17, 33);
    encoder.named(output, STATIC_NAME.path, bytes, 3, 17);
    const block = output.take();
    expect(decoder.decode(block, 0, block.length, list)).toBe(DECODED);
    expect(pairsOf(list)).toEqual([
      [":method", "GET"],
      [":scheme", "https"],
      [":authority", "example.org:8080"],
      [":path", "/somewhere?x=1"],
    ]);
  }
});

describe("the peer's SETTINGS_HEADER_TABLE_SIZE", () => {
  const pair: Pair = ["x-a", "b"];

  test("0: the table is emptied, told once, and nothing is indexed", () => {
    const [encoder, decoder] = [new HpackEncoder(), newDecoder()];
    roundTrip(encoder, decoder, [pair]);
    encoder.setPeerTableLimit(0);
    decoder.setTableLimit(0);
    expect(roundTrip(encoder, decoder, [pair])[0]).toBe(0x20);
    expect(roundTrip(encoder, decoder, [pair])[0]).toBe(0x00);
    expect(encoder.tableBytes).toBe(0);
  });

  test("down and up again between two blocks: both are told (section 4.2)", () => {
    const [encoder, decoder] = [new HpackEncoder(), newDecoder()];
    roundTrip(encoder, decoder, [pair]);
    encoder.setPeerTableLimit(0);
    encoder.setPeerTableLimit(4_096);
    const block = roundTrip(encoder, decoder, [pair]);
    expect(block.toString("hex", 0, 4)).toBe("203fe11f");
    expect(decoder.tableBytes).toBe(encoder.tableBytes);
  });

  test("above our own limit, or the same: nothing is told", () => {
    const encoder = new HpackEncoder();
    encoder.setPeerTableLimit(65_536);
    encoder.setPeerTableLimit(4_096);
    expect(encode(encoder, [[":method", "GET"]]).toString("hex")).toBe("82");
  });

  test("a smaller table of our own is told in the first block", () => {
    const [encoder, decoder] = [new HpackEncoder(0), newDecoder()];
    expect(roundTrip(encoder, decoder, [pair])[0]).toBe(0x20);
    expect(decoder.tableBytes).toBe(0);
  });

  test("a larger table of our own is used only when the peer allows it", () => {
    const [encoder, decoder] = [new HpackEncoder(16_384), newDecoder(8_192)];
    expect(roundTrip(encoder, decoder, [pair])[0]).toBe(0x40);
    encoder.setPeerTableLimit(8_192);
    expect(roundTrip(encoder, decoder, [pair]).toString("hex", 0, 3)).toBe("3fe13f");
  });
});

test("values of all bytes and lengths", () => {
  const [encoder, decoder] = [new HpackEncoder(), newDecoder(4_096, 1_000_000)];
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("latin1");
  for (const length of [0, 1, 126, 127, 128, 254, 255, 256, 20_000])
    roundTrip(encoder, decoder, [["x", all.repeat(1 + length / 256).slice(0, length)]]);
});
