import { expect, test } from "bun:test";
import { Rows } from "./rows.ts";

test("a name keeps its row, and a row rests before it goes to another name", () => {
  let now = 0;
  const busy = new Set<number>();
  const cleared: number[] = [];
  const rows = new Rows({
    what: "pools",
    capacity: 2,
    now: () => now,
    isBusy: (row) => busy.has(row),
    clear: (row) => cleared.push(row),
  });
  expect([rows.take("a"), rows.take("b"), rows.take("a")]).toEqual([0, 1, 0]);
  expect(() => rows.take("c")).toThrow("there can be 2 pools at most");
  busy.add(0);
  expect(rows.keepOnly(new Set(["b"]))).toEqual([0]);
  expect(() => rows.take("c")).toThrow();
  now = 10_000;
  expect(() => rows.take("c")).toThrow();
  busy.delete(0);
  expect(rows.take("c")).toBe(0);
  expect(cleared).toEqual([0, 1, 0]);
  expect(rows.get("a")).toBeUndefined();
});
