import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compileMatch } from "./conditions.ts";
import type { RequestView } from "./request-view.ts";
import { AMBIGUOUS, compileRoutes, type RouteEntry } from "./router.ts";
import type { MatchConfig } from "./schema.ts";

function request(target: string, more: Partial<RequestView> & { headers?: Record<string, string> } = {}): RequestView {
  const [path = "", query = ""] = target.split("?");
  const parameters = new URLSearchParams(query);
  return {
    method: "GET",
    scheme: "http",
    host: "example.com",
    path,
    query,
    clientIp: "192.0.2.1",
    tls: undefined,
    header: (name) => more.headers?.[name],
    cookie: (name) => new RegExp(`${name}=([^;]*)`).exec(more.headers?.["cookie"] ?? "")?.[1],
    queryParameter: (name) => parameters.get(name) ?? undefined,
    ...more,
  };
}

function router(...routes: (MatchConfig & { priority?: number })[]) {
  const entries = routes.map(
    ({ priority = 0, ...match }, index): RouteEntry<number> => ({ match, priority, target: index }),
  );
  return compileRoutes(entries);
}

describe("precedence", () => {
  test("an exact path goes before a prefix, a prefix before an expression, anything last", () => {
    const { match } = bound(router({}, { pathRegex: ["^/a"] }, { pathPrefix: ["/a"] }, { path: ["/a"] }));
    expect(match(request("/a"))).toBe(3);
    expect(match(request("/a/b"))).toBe(2);
    expect(match(request("/ab"))).toBe(1);
    expect(match(request("/b"))).toBe(0);
  });

  test("a longer prefix goes before a shorter one, whatever the order", () => {
    const { match } = bound(router({ pathPrefix: ["/a"] }, { pathPrefix: ["/a/b"] }, { pathPrefix: ["/"] }));
    expect(match(request("/a/b/c"))).toBe(1);
    expect(match(request("/a/bc"))).toBe(0);
    expect(match(request("/x"))).toBe(2);
  });

  test("an exact host goes before a wildcard, a longer wildcard before a shorter, any host last", () => {
    const { match } = bound(
      router({}, { host: ["*.example.com"] }, { host: ["*.b.example.com"] }, { host: ["a.b.example.com"] }),
    );
    expect(match(request("/", { host: "a.b.example.com" }))).toBe(3);
    expect(match(request("/", { host: "x.b.example.com" }))).toBe(2);
    expect(match(request("/", { host: "x.example.com" }))).toBe(1);
    expect(match(request("/", { host: "example.com" }))).toBe(0);
  });

  test("more conditions go before fewer, and the order of the file decides among equals", () => {
    const canary = { path: ["/a"], headers: { "X-Canary": "1" } };
    const { match } = bound(router({ path: ["/a"] }, canary, { path: ["/a"] }));
    expect(match(request("/a", { headers: { "x-canary": "1" } }))).toBe(1);
    expect(match(request("/a"))).toBe(0);
  });

  test("an explicit priority goes before everything else", () => {
    const { match } = bound(router({ path: ["/a"] }, { pathPrefix: ["/"], priority: 1 }));
    expect(match(request("/a"))).toBe(1);
  });

  test("nothing matches", () => {
    expect(router({ path: ["/a"] }).match(request("/b"))).toBeUndefined();
    expect(router().match(request("/b"))).toBeUndefined();
  });
});

describe("conditions", () => {
  const cases: [string, MatchConfig, RequestView, boolean][] = [
    ["method", { method: ["POST", "PUT"] }, request("/", { method: "PUT" }), true],
    ["method", { method: ["POST"] }, request("/"), false],
    ["header", { headers: { "X-A": "1" } }, request("/", { headers: { "x-a": "1" } }), true],
    ["header", { headers: { "X-A": "1" } }, request("/", { headers: { "x-a": "12" } }), false],
    ["header by expression", { headers: { Ua: { regex: "^M" } } }, request("/", { headers: { ua: "Moz" } }), true],
    ["header that is absent", { headers: { A: { present: false } } }, request("/"), true],
    ["cookie", { cookies: { s: "x" } }, request("/", { headers: { cookie: "s=x; t=y" } }), true],
    ["query", { query: { v: "2" } }, request("/?v=2"), true],
    ["query", { query: { v: { present: true } } }, request("/?w=2"), false],
    ["network", { clientIp: ["192.0.2.0/24"] }, request("/"), true],
    ["network", { clientIp: ["198.51.100.0/24", "::1"] }, request("/"), false],
    ["all", { all: [{ method: ["GET"] }, { path: ["/a"] }] }, request("/a"), true],
    ["all", { all: [{ method: ["GET"] }, { path: ["/b"] }] }, request("/a"), false],
    ["any", { any: [{ method: ["POST"] }, { host: ["*.com"] }] }, request("/a"), true],
    ["not", { not: { pathPrefix: ["/a"] } }, request("/a/b"), false],
    ["not in not", { not: { not: { pathRegex: ["b$"] } } }, request("/a/b"), true],
  ];
  for (const [name, match, asked, matches] of cases) {
    test(`${name}: ${JSON.stringify(match)} ${matches ? "matches" : "does not match"}`, () => {
      expect(router(match).match(asked) === 0).toBe(matches);
    });
  }

  test("text longer than 8 KiB is not given to an expression", () => {
    expect(router({ pathRegex: ["a$"] }).match(request(`/${"a".repeat(10_000)}`))).toBeUndefined();
  });
});

describe("paths that readers understand differently", () => {
  const admin = router({ pathPrefix: ["/public"] }, { pathPrefix: ["/admin"] });
  for (const path of [
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/..%2fadmin",
    "/public\\..\\admin",
    "//admin",
  ])
    test(`${path} is ambiguous`, () => expect(admin.match(request(path))).toBe(AMBIGUOUS));
  for (const path of ["/public/a/../b", "/public//x", "/public/x;v=1", "/public/."])
    test(`${path} is not: it goes to one route either way`, () => expect(admin.match(request(path))).toBe(0));
});

describe("against a plain search", () => {
  const segment = fc.constantFrom("a", "b", "c", "ab");
  const path = fc.array(segment, { maxLength: 4 }).map((segments) => `/${segments.join("/")}`);
  const host = fc.constantFrom("a.com", "b.a.com", "c.b.a.com", "d.org");
  const match: fc.Arbitrary<MatchConfig> = fc.oneof(
    path.map((text) => ({ path: [text] })),
    path.map((text) => ({ pathPrefix: [text] })),
    fc.tuple(path, host).map(([text, name]) => ({ pathPrefix: [text], host: [name] })),
    fc.tuple(path, host).map(([text, name]) => ({ path: [text], host: [`*.${name}`] })),
    host.map((name) => ({ host: [`*.${name}`], method: ["GET"] })),
    fc.constant<MatchConfig>({ pathRegex: ["a/b"] }),
    fc.constant<MatchConfig>({ method: ["POST"] }),
  );

  test("finds a route exactly when one matches, and one that does match", () => {
    fc.assert(
      fc.property(fc.array(match, { maxLength: 30 }), path, host, (matches, asked, name) => {
        const view = request(asked, { host: name });
        const matching = matches.flatMap((each, index) => (compileMatch(each)(view, asked) ? [index] : []));
        const found = router(...matches).match(view);
        if (matching.length === 0) expect(found).toBeUndefined();
        else expect(matching).toContain(found as number);
      }),
      { numRuns: 2_000 },
    );
  });

  test("finds the longest prefix", () => {
    fc.assert(
      fc.property(fc.array(path, { minLength: 1, maxLength: 20 }), path, (prefixes, asked) => {
        const found = router(...prefixes.map((text) => ({ pathPrefix: [text] }))).match(request(asked));
        const lengths = prefixes
          .filter((text) => text === "/" || asked === text || asked.startsWith(`${text}/`))
          .map((text) => (text === "/" ? 0 : text.length));
        if (lengths.length === 0) expect(found).toBeUndefined();
        else expect(prefixes[found as number]?.replace(/^\/$/, "")).toHaveLength(Math.max(...lengths));
      }),
      { numRuns: 2_000 },
    );
  });
});

test("ten thousand routes are each found", () => {
  const { match } = bound(
    router(...Array.from({ length: 10_000 }, (_, index) => ({ pathPrefix: [`/service-${index}`] }))),
  );
  for (let index = 0; index < 10_000; index += 37) expect(match(request(`/service-${index}/x`))).toBe(index);
});

function bound<Target>(value: { match(view: RequestView): Target }): { match(view: RequestView): Target } {
  return { match: (view) => value.match(view) };
}
