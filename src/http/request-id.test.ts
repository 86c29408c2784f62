import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { isRequestId, RequestIds, requestIdText } from "./request-id.ts";

test("ids are UUIDs of version 7 with the time in front", () => {
  const clock = new FakeClock(0x0192_3456_789a);
  const ids = new RequestIds(clock);
  for (let count = 0; count < 2_000; count++) {
    const text = requestIdText(ids.next(clock.now()));
    expect(text).toMatch(/^01923456-789a-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});

test("ids differ, and later ones sort behind earlier ones", () => {
  const clock = new FakeClock();
  const ids = new RequestIds(clock);
  const texts = Array.from({ length: 5_000 }, () => {
    clock.advance(1);
    return requestIdText(ids.next(clock.now()));
  });
  expect(new Set(texts).size).toBe(texts.length);
  expect([...texts].sort()).toEqual(texts);
});

test("only short and harmless ids of others are passed on", () => {
  for (const good of ["abc", "0192-a.b:c/d+e=f_g", "x".repeat(128)]) expect(isRequestId(good)).toBeTrue();
  for (const bad of ["", "x".repeat(129), "a b", 'a"b', "a\nb", "é"]) expect(isRequestId(bad)).toBeFalse();
});
