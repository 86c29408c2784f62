import { expect, test } from "bun:test";
import { h2ErrorName, readUint16, readUint24, readUint31, readUint32, writeUint32 } from "./frames.ts";
import { hex } from "./testing.ts";

test("names of error codes", () => {
  expect([h2ErrorName(0), h2ErrorName(13), h2ErrorName(0x20)]).toEqual(["NO_ERROR", "HTTP_1_1_REQUIRED", "0x20"]);
});

test("numbers in network order", () => {
  const bytes = hex("fffefdfc");
  expect([readUint16(bytes, 0), readUint24(bytes, 1), readUint32(bytes, 0), readUint31(bytes, 0)]).toEqual([
    ...[0xfffe, 0xfefdfc, 0xfffefdfc, 0x7ffefdfc],
  ]);
  const written = Buffer.alloc(4);
  writeUint32(written, 0, 0xfffefdfc);
  expect(written.toString("hex")).toBe("fffefdfc");
});
