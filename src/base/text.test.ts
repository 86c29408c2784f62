import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatAddress, parseAddress, parseListenAddress } from "./address.ts";
import { compileRegex } from "./regex.ts";
import { suggest } from "./suggest.ts";
import { formatDuration, parseByteSize, parseDurationMs } from "./units.ts";

describe("durations", () => {
  const good: [string, number][] = [
    ["0", 0],
    ["5ms", 5],
    ["1.5s", 1_500],
    ["1m30s", 90_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
  ];
  for (const [text, value] of good) test(text, () => expect(parseDurationMs(text)).toBe(value));
  for (const text of ["", "5", "5 s", "-1s", "1e3s", "s", "5sec", "1.s", "999999999999999999d"])
    test(`${JSON.stringify(text)} is none`, () => expect(parseDurationMs(text)).toBeUndefined());
  test("never throws, never answers nonsense", () =>
    fc.assert(
      fc.property(fc.string(), (text) => {
        const value = parseDurationMs(text);
        expect(value === undefined || (Number.isSafeInteger(value) && value >= 0)).toBeTrue();
      }),
    ));
  test("are shown short", () =>
    expect([5, 1_500, 90_000, 7_200_000].map(formatDuration)).toEqual(["5ms", "1.5s", "1.5m", "2h"]));
});

describe("sizes", () => {
  const good: [string, number][] = [
    ["0", 0],
    ["512B", 512],
    ["64KiB", 65_536],
    ["1.5MiB", 1_572_864],
    ["2MB", 2_000_000],
    ["1GiB", 1_073_741_824],
  ];
  for (const [text, value] of good) test(text, () => expect(parseByteSize(text)).toBe(value));
  for (const text of ["", "64", "64K", "64kib", "-1B", "1 KiB", "9999999999999GiB"])
    test(`${JSON.stringify(text)} is none`, () => expect(parseByteSize(text)).toBeUndefined());
});

describe("addresses", () => {
  const good: [string, string, number][] = [
    ["10.0.0.1:80", "10.0.0.1", 80],
    ["[::1]:8080", "::1", 8_080],
    ["app.internal:80", "app.internal", 80],
    ["http://app:3000", "app", 3_000],
  ];
  for (const [text, host, port] of good) test(text, () => expect(parseAddress(text)).toEqual({ host, port }));
  for (const text of ["", "host", "host:", ":80:", "host:0x50", "host:99999", "::1:80", "a b:80", "host:80/path"])
    test(`${JSON.stringify(text)} is none`, () => expect(parseAddress(text)).toBeUndefined());
  test("to listen on may leave the host out", () =>
    expect(parseListenAddress(":80")).toEqual({ host: "::", port: 80 }));
  test("of IPv6 are shown in brackets", () => expect(formatAddress({ host: "::1", port: 1 })).toBe("[::1]:1"));
});

describe("did you mean", () => {
  const keys = ["listeners", "routes", "pools", "maxConnections", "timeouts"];
  const cases: [string, string | undefined][] = [
    ["listners", "listeners"],
    ["max_connections", "maxConnections"],
    ["MAXCONNECTIONS", "maxConnections"],
    ["rotues", "routes"],
    ["poool", "pools"],
    ["certificates", undefined],
    ["x", undefined],
    ["", undefined],
  ];
  for (const [word, meant] of cases)
    test(`${word} -> ${meant}`, () => expect(suggest(word, keys)).toBe(meant as string));
});

describe("regular expressions", () => {
  for (const source of ["(a+)+", "(a*)*$", "(\\d+)*x", "([a-z]+){2,}"])
    test(`${source} is refused: it can take for ever`, () => expect(() => compileRegex(source)).toThrow("repeats"));
  for (const source of ["^/a/(b|c)+$", "a+b+", "(ab)+", "[+*]+", "\\(a\\+\\)\\+"])
    test(`${source} is taken`, () => expect(compileRegex(source)).toBeInstanceOf(RegExp));
});
