import { expect, test } from "bun:test";
import { diffConfigs } from "./diff.ts";
import { configSchema } from "./schema.ts";

const base = {
  listeners: { web: { address: ":80", pool: "app" } },
  pools: { app: { endpoints: ["10.0.0.1:80"] } },
  routes: [{ name: "api", match: { path: "/a" }, pool: "app" }],
};

test("nothing changed, nothing told", () =>
  expect(diffConfigs(configSchema.parse(base), configSchema.parse(base))).toEqual([]));

test("what was added, removed and changed, by name", () => {
  const after = configSchema.parse({
    listeners: { web: { address: ":81", pool: "app" }, more: { address: ":82", pool: "b" } },
    pools: { b: { endpoints: ["10.0.0.2:80"] } },
    routes: [{ match: { path: "/a" }, pool: "b" }],
    workers: 2,
  });
  expect(diffConfigs(configSchema.parse(base), after)).toEqual([
    "listeners: added more, changed web",
    "routes: added route-1, removed api",
    "pools: added b, removed app",
    "settings: changed workers",
  ]);
});

test("long lists are cut", () => {
  const many = Object.fromEntries(
    Array.from({ length: 12 }, (_, index) => [`p${index}`, { endpoints: ["10.0.0.1:80"] }]),
  );
  const lines = diffConfigs(
    configSchema.parse(base),
    configSchema.parse({ ...base, pools: { ...base.pools, ...many } }),
  );
  expect(lines).toEqual(["pools: added p0 p1 p2 p3 p4 p5 p6 p7 and 4 more"]);
});
