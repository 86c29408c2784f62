import { expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import { decodeHuffman, encodeHuffman, huffmanDecodedBound, huffmanLength } from "./huffman.ts";
import { END_OF_STRING, HUFFMAN_CODES, HUFFMAN_LENGTHS } from "./huffman-table.ts";
import { hex } from "./testing.ts";

const encode = (bytes: Buffer): Buffer => {
  const target = Buffer.alloc(huffmanLength(bytes, 0, bytes.length));
  expect(encodeHuffman(bytes, 0, bytes.length, target, 0)).toBe(target.length);
  return target;
};
const decode = (bytes: Buffer): Buffer | undefined => {
  const target = Buffer.alloc(huffmanDecodedBound(bytes.length));
  const end = decodeHuffman(bytes, 0, bytes.length, target, 0);
  return end < 0 ? undefined : target.subarray(0, end);
};

test("the code is complete, and the codes that the standard's examples show are right", () => {
  let share = 0;
  for (const length of HUFFMAN_LENGTHS) share += 2 ** -length;
  expect(share).toBe(1);
  expect(HUFFMAN_CODES[0x30]).toBe(0x0);
  expect(HUFFMAN_CODES[0x00]).toBe(0x1ff8);
  expect(HUFFMAN_CODES[0x7c]).toBe(0x7fc);
  expect(HUFFMAN_CODES[0x0a]).toBe(0x3ffffffc);
  expect(HUFFMAN_CODES[0xff]).toBe(0x3ffffee);
  expect(HUFFMAN_CODES[END_OF_STRING]).toBe(0x3fffffff);
});

test("strings of RFC 7541 appendix C", () => {
  for (const [text, coded] of [
    ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
    ["no-cache", "a8eb10649cbf"],
    ["custom-key", "25a849e95ba97d7f"],
    ["custom-value", "25a849e95bb8e8b4bf"],
    ["302", "6402"],
    ["private", "aec3771a4b"],
    ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
    ["https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"],
    ["", ""],
  ] as const) {
    expect(encode(Buffer.from(text)).toString("hex")).toBe(coded);
    expect(decode(hex(coded))?.toString()).toBe(text);
  }
});

test("every pair of bytes comes back as it was", () => {
  const bytes = Buffer.alloc(2);
  for (let pair = 0; pair < 65_536; pair++) {
    bytes.writeUInt16BE(pair);
    const target = Buffer.alloc(8);
    const end = encodeHuffman(bytes, 0, 2, target, 0);
    const back = Buffer.alloc(16);
    if (decodeHuffman(target, 0, end, back, 0) !== 2 || back.readUInt16BE(0) !== pair) expect(pair).toBe(-1);
  }
});

test("random bytes of any length come back as they were", () => {
  const random = seededRandom(7);
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)));
    expect(decode(encode(bytes))).toEqual(bytes);
  }
});

test("padding must be less than a byte, and all ones; the end of a string must not be coded", () => {
  // "0" is five zero bits; what follows is padding.
  expect(decode(hex("07"))?.toString()).toBe("0");
  expect(decode(hex("06"))).toBeUndefined();
  expect(decode(hex("03"))).toBeUndefined();
  expect(decode(hex("07ff"))).toBeUndefined();
  expect(decode(hex("ff"))).toBeUndefined();
  expect(decode(hex("fffffffc"))).toBeUndefined();
  expect(decode(hex("ffffffff"))).toBeUndefined();
  expect(decode(hex("07fffffffc"))).toBeUndefined();
  // Cut in the middle of a symbol.
  expect(decode(hex("f1e3c2e5f23a6ba0ab90"))).toBeUndefined();
});
