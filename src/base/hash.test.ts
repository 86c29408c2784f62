import { expect, test } from "bun:test";
import { hashBytes, hashString, mix32 } from "./hash.ts";

test("xxHash32 gives the published values", () => {
  expect(hashString("")).toBe(0x02cc5d05);
  expect(hashString("a")).toBe(0x550d7456);
  expect(hashString("abc")).toBe(0x32d153ff);
  expect(hashString("Nobody inspects the spammish repetition")).toBe(0xe2293b2f);
});

test("it agrees with the runtime's own xxHash32 for all lengths and seeds", () => {
  for (let length = 0; length < 100; length++) {
    const text = Array.from({ length }, (_, index) => String.fromCharCode(33 + ((index * 7) % 90))).join("");
    expect(hashString(text, 42)).toBe(Bun.hash.xxHash32(text, 42));
    expect(hashBytes(Buffer.from(`xx${text}y`), 2, 2 + length)).toBe(hashString(text));
  }
});

test("mix32 spreads neighbouring numbers", () => {
  expect(mix32(0)).toBe(0);
  const buckets = new Array<number>(16).fill(0);
  for (let value = 0; value < 16_000; value++) {
    const bucket = mix32(value) & 15;
    buckets[bucket] = (buckets[bucket] as number) + 1;
  }
  expect(Math.min(...buckets)).toBeGreaterThan(900);
});
