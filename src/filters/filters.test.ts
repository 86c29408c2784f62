import { describe, expect, test } from "bun:test";
import type { FilterContext } from "./definition.ts";
import { compileFilters, filters } from "./registry.ts";

const context: FilterContext = {
  method: "GET",
  host: "example.com",
  path: "/api/users",
  query: "page=2",
  clientIp: "192.0.2.1",
  tls: undefined,
  requestId: "id-1",
  route: "api",
  endpoint: "10.0.0.1:80",
  header: () => undefined,
};

/** What a route's settings do to a request: each edit as a line. */
function edits(settings: Record<string, unknown>, on: Partial<FilterContext> = {}): string[] {
  const parsed = Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [key, filters[key as keyof typeof filters].options.parse(value)]),
  );
  const compiled = compileFilters(parsed);
  const lines: string[] = [];
  const recorder = {
    status: 200,
    setTarget: (target: string) => void lines.push(`target ${target}`),
    setHost: (host: string) => void lines.push(`host ${host}`),
    setHeader: (name: string, value: string) => void lines.push(`set ${name}: ${value}`),
    addHeader: (name: string, value: string) => void lines.push(`add ${name}: ${value}`),
    removeHeader: (name: string) => void lines.push(`remove ${name}`),
  };
  for (const filter of compiled.request ?? []) filter.onRequest?.({ ...context, ...on }, recorder);
  for (const filter of compiled.response ?? []) filter.onResponse?.({ ...context, ...on }, recorder);
  return lines;
}

describe("rewrite", () => {
  const cases: [string, Record<string, string>, string, string[]][] = [
    ["strips a prefix", { stripPrefix: "/api" }, "/api/users", ["target /users?page=2"]],
    ["strips down to the root", { stripPrefix: "/api" }, "/api", ["target /?page=2"]],
    ["strips whole segments only", { stripPrefix: "/api" }, "/apis", []],
    ["takes a slash at the end of a prefix for none", { stripPrefix: "/api/" }, "/api/x", ["target /x?page=2"]],
    ["adds a prefix", { addPrefix: "/v2" }, "/users", ["target /v2/users?page=2"]],
    ["does both in order", { stripPrefix: "/api", addPrefix: "/v2" }, "/api/x", ["target /v2/x?page=2"]],
    ["replaces the path", { path: "/index.html" }, "/anything", ["target /index.html?page=2"]],
    ["replaces by expression", { regex: "^/u/(\\d+)", replacement: "/users/$1" }, "/u/7", ["target /users/7?page=2"]],
    ["keeps the path in shape", { regex: "^/", replacement: "" }, "/a", ["target /a?page=2"].slice(1)],
    ["cannot smuggle a line break", { regex: "x", replacement: "\r\n" }, "/x", ["target /?page=2"]],
    ["cannot smuggle a query", { regex: "x", replacement: "?a=b" }, "/x", ["target /a=b?page=2"]],
    ["changes the host", { host: "inner" }, "/a", ["host inner"]],
  ];
  for (const [name, options, path, expected] of cases) {
    test(name, () => expect(edits({ rewrite: options }, { path })).toEqual(expected));
  }
  test("leaves text that is too long for expressions alone", () =>
    expect(edits({ rewrite: { regex: "a", replacement: "b" } }, { path: `/${"a".repeat(9_000)}` })).toEqual([]));
  test("refuses an expression that can take for ever", () =>
    expect(() => edits({ rewrite: { regex: "(a+)+$", replacement: "" } })).toThrow("repeats a repetition"));
});

describe("header edits", () => {
  test("remove, set and add, in this order, with values filled in", () => {
    const changes = {
      set: { "X-Client": "{client.ip}", "X-Where": "{host}{path} via {route}" },
      add: { "X-Tag": "a" },
      remove: ["X-Old"],
    };
    expect(edits({ requestHeaders: changes })).toEqual([
      "remove X-Old",
      "set X-Client: 192.0.2.1",
      "set X-Where: example.com/api/users via api",
      "add X-Tag: a",
    ]);
  });
  test("on the answer, the endpoint is known", () =>
    expect(edits({ responseHeaders: { set: { "X-Served-By": "{endpoint}" } } })).toEqual([
      "set X-Served-By: 10.0.0.1:80",
    ]));
  test("before one is chosen, there is no endpoint to fill in", () =>
    expect(() => edits({ requestHeaders: { add: { "X-To": "to {endpoint}" } } })).toThrow("use it in responseHeaders"));
  test("a brace that names nothing stays", () =>
    expect(edits({ requestHeaders: { set: { "X-Json": '{"a":1}' } } })).toEqual(['set X-Json: {"a":1}']));
  for (const name of ["Content-Length", "transfer-encoding", "Connection", "Host", "Upgrade", "TE"])
    test(`${name} cannot be touched`, () =>
      expect(() => edits({ requestHeaders: { remove: [name] } })).toThrow("evenkeel manages it"));
  test("an unknown placeholder is told with those there are", () =>
    expect(() => edits({ requestHeaders: { set: { "X-A": "{client.port}" } } })).toThrow("{client.ip}"));
});

test("a route without filters has none", () => expect(compileFilters({})).toEqual({ request: null, response: null }));
