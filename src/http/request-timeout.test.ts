import { expect, test } from "bun:test";
import { NEVER } from "../transport/deadlines.ts";
import { requestTimeout, requestTimeoutMs } from "./request-timeout.ts";

test("seconds, or a unit that says so", () => {
  for (const [value, timeoutMs] of [
    ["2", 2_000],
    ["0.25", 250],
    ["2s", 2_000],
    ["1.5s", 1_500],
    ["250ms", 250],
    ["0.5ms", 0.5],
    ["999999999", 999_999_999_000],
  ] as const)
    expect(requestTimeoutMs(value)).toBe(timeoutMs);
});

test("anything else is as if nothing had been said", () => {
  for (const value of ["", "0", "0ms", "0.0", "-1", "+1", ".5", "1.", "1 s", "1m", "1S", "1e3", "NaN", "1, 2", "0x10"])
    expect(requestTimeoutMs(value)).toBe(NEVER);
  expect(requestTimeoutMs("1".repeat(10))).toBe(NEVER);
});

test("what is left is told in seconds, and never as nothing", () => {
  expect([7_999.9, 2_000, 250, 1.9, 0.2, 0, -50].map(requestTimeout)).toEqual([
    "7.999",
    "2",
    "0.25",
    "0.001",
    "0.001",
    "0.001",
    "0.001",
  ]);
});
