import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c } from "./crc32c.ts";

function sumOf(bytes: Uint8Array): number {
  return crc32c(bytes, 0, bytes.length);
}

test("the vectors of RFC 3720 appendix B.4 and the usual check value", () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, index) => index);
  expect(sumOf(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(sumOf(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(sumOf(ascending)).toBe(0x46dd794e);
  expect(sumOf(ascending.toReversed())).toBe(0x113fdb5c);
  expect(sumOf(Buffer.from("123456789"))).toBe(0xe3069283);
  const readCommand = Buffer.alloc(48);
  readCommand.write("01c0", 0, "hex");
  readCommand.write("14", 16, "hex");
  readCommand.write("00000400000000140000001828", 20, "hex");
  readCommand.write("02", 40, "hex");
  expect(sumOf(readCommand)).toBe(0xd9963a56);
});

test("nothing at all has the checksum zero, and a range leaves out what is around it", () => {
  expect(sumOf(new Uint8Array(0))).toBe(0);
  expect(crc32c(Buffer.from("xx123456789xx"), 2, 11)).toBe(0xe3069283);
});

test("pieces chain to the checksum of the whole", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(64), (bytes, cut) => {
      const at = Math.min(cut, bytes.length);
      expect(crc32c(bytes, at, bytes.length, crc32c(bytes, 0, at))).toBe(sumOf(bytes));
    }),
  );
});
