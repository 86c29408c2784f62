/** What the example promises, with the same keys on every run. */
import { expect, test } from "bun:test";
import { fullest, KEYS, movedShare, nodes, SHARDINGS, shardByRemainder, shardWith, shareCalls } from "./example.ts";

for (const name of SHARDINGS) {
  test(`${name}: a fifth node takes about a fifth of the keys, a hashing remainder moves most of them`, () => {
    const moved = movedShare(shardWith(name, nodes(4)), shardWith(name, nodes(5)));
    expect(moved).toBeGreaterThan(0.15);
    expect(moved).toBeLessThan(0.25);
    expect(movedShare(shardByRemainder(nodes(4)), shardByRemainder(nodes(5)))).toBeGreaterThan(0.7);
  });

  test(`${name}: no node holds much more than its share`, () => {
    expect(fullest(shardWith(name, nodes(5)), 5)).toBeLessThan(1.2);
  });

  test(`${name}: when a node fails, only its keys move`, () => {
    const all = nodes(5);
    const before = shardWith(name, nodes(5));
    const after = shardWith(name, all);
    const failed = all[2];
    if (failed === undefined) throw new Error("expected five nodes");
    failed.eligible = false;
    for (const key of KEYS) {
      if (before(key).id === failed.id) expect(after(key).id).not.toBe(failed.id);
      else expect(after(key).id).toBe(before(key).id);
    }
  });

  test(`${name}: says so when no node is left`, () => {
    const shard = shardWith(name, [{ id: "cache-1:6379", eligible: false }]);
    expect(() => shard("user:1")).toThrow("no cache node is left");
  });
}

for (const name of ["ringHash", "rendezvous"] as const) {
  test(`${name}: programs that list the nodes in another order agree`, () => {
    expect(movedShare(shardWith(name, nodes(5)), shardWith(name, nodes(5).reverse()))).toBe(0);
  });
}

test("power of two choices keeps every node near the average", () => {
  expect(shareCalls(nodes(10), 1_000)).toBeLessThan(110);
});
