import { expect, test } from "bun:test";
import { integerLength, integerValue, MAX_INTEGER, readInteger, writeInteger } from "./hpack-integer.ts";
import { hex } from "./testing.ts";

test("examples of RFC 7541 appendix C.1", () => {
  for (const [value, mask, pattern, coded] of [
    [10, 0x1f, 0xe0, "ea"],
    [1_337, 0x1f, 0x00, "1f9a0a"],
    [42, 0xff, 0x00, "2a"],
  ] as const) {
    const bytes = Buffer.alloc(8);
    const end = writeInteger(bytes, 0, value, mask, pattern);
    expect(bytes.toString("hex", 0, end)).toBe(coded);
    const packed = readInteger(bytes, 0, end, mask);
    expect([integerValue(packed), integerLength(packed)]).toEqual([value, end]);
  }
});

test("every prefix and the values at their edges come back", () => {
  const bytes = Buffer.alloc(8);
  for (const bits of [4, 5, 6, 7, 8]) {
    const mask = 2 ** bits - 1;
    for (const base of [0, mask, mask + 127, mask + 128, mask + 16_383, mask + 16_384, 2 ** 21, MAX_INTEGER - 1]) {
      for (const value of [Math.max(0, base - 1), base, base + 1]) {
        const end = writeInteger(bytes, 0, value, mask, 0);
        const packed = readInteger(bytes, 0, end, mask);
        expect([integerValue(packed), integerLength(packed)]).toEqual([value, end]);
        expect(readInteger(bytes, 0, end - 1, mask)).toBe(-1);
      }
    }
  }
});

test("integers too large or too long are refused", () => {
  for (const coded of ["1fffffffff0f", "1fe1ffff7f", "1f8080808080", "1f8080808000", "1fffffffffffffffffffff7f"])
    expect(readInteger(hex(coded), 0, coded.length / 2, 0x1f)).toBe(-1);
  expect(integerValue(readInteger(hex("1fe0ffff7f"), 0, 5, 0x1f))).toBe(MAX_INTEGER);
  // A few zeros too many are allowed.
  expect(integerValue(readInteger(hex("1f808000"), 0, 4, 0x1f))).toBe(31);
});
