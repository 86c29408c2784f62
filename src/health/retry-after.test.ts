import { expect, test } from "bun:test";
import { retryAfter } from "./retry-after.ts";

const date = "Thu, 01 Jan 2026 00:00:00 GMT";

test.each([
  ["30", undefined, 30_000],
  ["0", undefined, undefined],
  ["301", undefined, 300_000],
  ["9999999999", undefined, 300_000],
  ["99999999999", undefined, undefined],
  ["-5", undefined, undefined],
  ["1.5", date, undefined],
  ["soon", date, undefined],
  ["Thu, 01 Jan 2026 00:01:30 GMT", date, 90_000],
  ["Fri, 02 Jan 2026 00:00:00 GMT", date, 300_000],
  ["Wed, 31 Dec 2025 23:59:59 GMT", date, undefined],
  ["Thu, 01 Jan 2026 00:01:30 GMT", undefined, undefined],
  [undefined, date, undefined],
] as const)("%p in an answer of %p", (value, sentAt, expected) => {
  expect(retryAfter(value, sentAt)).toBe(expected as number);
});
