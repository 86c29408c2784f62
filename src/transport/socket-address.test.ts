import { expect, test } from "bun:test";
import { addressLength, ipAt, ipKey, placeKey, portAt, socketAddress } from "./socket-address.ts";

const wordsOf = (host: string, port: number, dual = false) => new Uint32Array(socketAddress(host, port, dual).buffer);

test("addresses are read as they were written", () => {
  for (const [host, port, length] of [
    ["127.0.0.1", 53, 16],
    ["255.254.253.252", 65_535, 16],
    ["::1", 1, 28],
    ["2001:db8::a:b", 8_080, 28],
  ] as const) {
    const words = wordsOf(host, port);
    expect([ipAt(words, 0), portAt(words, 0), addressLength(words, 0)]).toEqual([host, port, length]);
  }
});

test("an IPv4 client is the same on sockets of both families", () => {
  const [plain, mapped] = [wordsOf("10.1.2.3", 4_000), wordsOf("10.1.2.3", 4_000, true)];
  expect(ipAt(mapped, 0)).toBe("10.1.2.3");
  expect(placeKey(mapped, 0)).toBe(placeKey(plain, 0));
  expect(ipKey(mapped, 2)).toBe(plain[1] as number);
});

test("different places have different keys", () => {
  const places = [
    wordsOf("10.0.0.1", 1),
    wordsOf("10.0.0.1", 2),
    wordsOf("10.0.0.2", 1),
    wordsOf("::1", 1),
    wordsOf("::1", 2),
    wordsOf("::2", 1),
    wordsOf("1::", 1),
  ];
  expect(new Set(places.map((words) => placeKey(words, 0))).size).toBe(places.length);
});
