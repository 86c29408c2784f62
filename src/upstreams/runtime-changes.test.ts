import { describe, expect, test } from "bun:test";
import type { ResolvedEndpoint } from "./discovery.ts";
import { RuntimeChanges } from "./runtime-changes.ts";

function endpoint(id: string, more: Partial<ResolvedEndpoint> = {}): ResolvedEndpoint {
  return { id, host: id, port: 80, name: id, weight: 1, tier: 0, maxConnections: 0, state: "ready", ...more };
}

const file = [endpoint("a"), endpoint("b")];
const shown = (endpoints: readonly ResolvedEndpoint[]) =>
  endpoints.map(({ id, state, weight }) => `${id} ${state} ${weight}`);

describe("what an operator changes", () => {
  test("holds until the file says something else of the same", () => {
    const changes = new RuntimeChanges();
    changes.set("app", file[0] as ResolvedEndpoint, { state: "drain", weight: 5 });
    changes.reconcile("app", file, true);
    expect(shown(changes.apply("app", file))).toEqual(["a drain 5", "b ready 1"]);
    const reweighted = [endpoint("a", { weight: 2 }), endpoint("b")];
    changes.reconcile("app", reweighted, true);
    expect(shown(changes.apply("app", reweighted))).toEqual(["a drain 2", "b ready 1"]);
    const maintained = [endpoint("a", { weight: 2, state: "maintenance" }), endpoint("b")];
    changes.reconcile("app", maintained, true);
    expect(shown(changes.apply("app", maintained))).toEqual(["a maintenance 2", "b ready 1"]);
  });

  test("is another pool's nothing", () => {
    const changes = new RuntimeChanges();
    changes.set("app", file[0] as ResolvedEndpoint, { state: "drain" });
    expect(shown(changes.apply("other", file))).toEqual(["a ready 1", "b ready 1"]);
  });

  test("an added endpoint stays over reloads until the file lists it", () => {
    const changes = new RuntimeChanges();
    changes.add("app", endpoint("c", { weight: 9 }));
    changes.set("app", endpoint("c", { weight: 9 }), { weight: 3 });
    changes.reconcile("app", file, true);
    expect(shown(changes.apply("app", file))).toEqual(["a ready 1", "b ready 1", "c ready 3"]);
    const listed = [...file, endpoint("c", { weight: 4 })];
    changes.reconcile("app", listed, true);
    expect(shown(changes.apply("app", listed))).toEqual(["a ready 1", "b ready 1", "c ready 4"]);
    expect(changes.isAdded("app", "c")).toBeFalse();
  });

  test("a removed endpoint stays away while the file lists it, and can be added again", () => {
    const changes = new RuntimeChanges();
    changes.remove("app", "b");
    changes.reconcile("app", file, true);
    expect(shown(changes.apply("app", file))).toEqual(["a ready 1"]);
    changes.reconcile("app", [endpoint("a")], true);
    expect(shown(changes.apply("app", file))).toEqual(["a ready 1", "b ready 1"]);
    changes.remove("app", "b");
    changes.add("app", endpoint("b", { weight: 7 }));
    expect(shown(changes.apply("app", file))).toEqual(["a ready 1", "b ready 7"]);
  });

  test("what a name does not resolve to just now is not forgotten", () => {
    const changes = new RuntimeChanges();
    changes.set("app", file[0] as ResolvedEndpoint, { state: "drain" });
    changes.remove("app", "b");
    changes.reconcile("app", [], false);
    expect(shown(changes.apply("app", file))).toEqual(["a drain 1"]);
    changes.reconcile("app", [], true);
    expect(shown(changes.apply("app", file))).toEqual(["a ready 1", "b ready 1"]);
  });

  test("a refused configuration changes nothing", () => {
    const changes = new RuntimeChanges();
    changes.set("app", file[0] as ResolvedEndpoint, { weight: 5 });
    const saved = changes.save();
    changes.reconcile("app", [endpoint("a", { weight: 2 })], true);
    changes.restore(saved);
    expect(shown(changes.apply("app", file))).toEqual(["a ready 5", "b ready 1"]);
  });
});
