import { expect, test } from "bun:test";
import { type FlowPlaces, FlowTable } from "./flow-table.ts";

const flow = (client: number | string, clientAddress: number | string = client, local: number | string = 0) =>
  ({ local, client, clientAddress }) satisfies FlowPlaces;

test("finds flows by both ends", () => {
  const table = new FlowTable<FlowPlaces>();
  const [a, b, c] = [flow(1, 1, 7), flow(1, 1, 8), flow("six", "six", 7)];
  for (const one of [a, b, c]) table.add(one);
  expect(table.get(7, 1)).toBe(a);
  expect(table.get(8, 1)).toBe(b);
  expect(table.get(7, "six")).toBe(c);
  expect(table.get(8, "six")).toBeUndefined();
  expect(table.get(9, 1)).toBeUndefined();
  expect(new Set(table.values())).toEqual(new Set([a, b, c]));
});

test("is bounded over all and per client, and a flow that ends makes room", () => {
  const table = new FlowTable<FlowPlaces>();
  const room = (client: number) => table.hasRoom(client, 3, 2);
  const [a, b, c] = [flow(1, 100), flow(2, 100), flow(3, 200)];
  table.add(a);
  expect(room(100)).toBe(true);
  table.add(b);
  expect(room(100)).toBe(false);
  expect(room(200)).toBe(true);
  table.add(c);
  expect(room(300)).toBe(false);
  expect(table.remove(a)).toBe(true);
  expect([room(100), room(300)]).toEqual([true, true]);
});

test("a flow is removed once, and never in another's name", () => {
  const table = new FlowTable<FlowPlaces>();
  const [old, now] = [flow(1), flow(1)];
  table.add(old);
  expect(table.remove(old)).toBe(true);
  expect(table.remove(old)).toBe(false);
  table.add(now);
  expect(table.remove(old)).toBe(false);
  expect(table.get(0, 1)).toBe(now);
  expect(table.size).toBe(1);
});
