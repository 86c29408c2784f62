import { describe, expect, test } from "bun:test";
import type { ResolvedEndpoint } from "./discovery.ts";
import { RuntimeChanges } from "./runtime-changes.ts";
import { readChanges, writeChanges } from "./saved-changes.ts";

function endpoint(id: string): ResolvedEndpoint {
  return { id, host: id, port: 80, name: id, weight: 1, tier: 0, maxConnections: 0, state: "ready" };
}

describe("what operators have changed, written and read", () => {
  test("is the same to the process that reads it", () => {
    const file = [endpoint("a"), endpoint("b"), endpoint("c")];
    const before = new RuntimeChanges();
    before.set("app", endpoint("a"), { state: "drain" });
    before.set("app", endpoint("a"), { weight: 7 });
    before.remove("app", "b");
    before.add("app", endpoint("d"));
    before.set("__proto__", endpoint("x"), { weight: 2 });

    const text = JSON.stringify(writeChanges(before.save()));
    const after = new RuntimeChanges(readChanges(text));
    for (const pool of ["app", "__proto__", "other"]) expect(after.apply(pool, file)).toEqual(before.apply(pool, file));
    expect(after.isAdded("app", "d")).toBe(true);
    // The file still has the last word on what it changes itself.
    after.reconcile("app", [{ ...endpoint("a"), weight: 3 }], true);
    expect(after.apply("app", [{ ...endpoint("a"), weight: 3 }])).toMatchObject([
      { id: "a", state: "drain", weight: 3 },
      { id: "d" },
    ]);
  });

  test.each(["", "[]", '{"app": {"added": []}}', '{"app": {"overrides": {}, "added": [{"id": 1}], "removed": []}}'])(
    "%j is not read",
    (text) => {
      expect(readChanges(text)).toBeUndefined();
    },
  );
});
