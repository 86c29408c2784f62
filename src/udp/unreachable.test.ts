import { expect, test } from "bun:test";
import { Unreachable } from "./unreachable.ts";

test("an endpoint is avoided for five seconds, or until it answers", () => {
  const unreachable = new Unreachable<string>();
  expect(unreachable.list(0)).toBeUndefined();
  unreachable.mark("a", 0);
  unreachable.mark("b", 2_000);
  expect(unreachable.list(4_999)).toEqual(["a", "b"]);
  expect(unreachable.list(5_000)).toEqual(["b"]);
  unreachable.clear("c");
  expect(unreachable.list(5_000)).toEqual(["b"]);
  unreachable.clear("b");
  expect(unreachable.list(5_000)).toBeUndefined();
});

test("an endpoint that fails again is avoided for longer", () => {
  const unreachable = new Unreachable<string>();
  unreachable.mark("a", 0);
  unreachable.mark("a", 3_000);
  expect(unreachable.list(7_999)).toEqual(["a"]);
  expect(unreachable.list(8_000)).toBeUndefined();
});
