import { describe, expect, test } from "bun:test";
import { hashString } from "../base/hash.ts";
import { seededRandom } from "../base/random.ts";
import { compileRedirect } from "./redirect.ts";
import type { RequestView } from "./request-view.ts";
import { compileSplit } from "./split.ts";

const hashes = Array.from({ length: 20_000 }, (_, index) => hashString(`user-${index}`));

describe("a split", () => {
  test("shares keys by weight, within a percent", () => {
    const split = compileSplit([90, 9, 1], seededRandom(1));
    const counts = [0, 0, 0];
    for (const hash of hashes) counts[split.pick(hash)]!++;
    expect(counts[0]! / hashes.length).toBeCloseTo(0.9, 2);
    expect(counts[1]! / hashes.length).toBeCloseTo(0.09, 2);
    expect(counts[2]! / hashes.length).toBeCloseTo(0.01, 2);
  });

  test("moves only the keys that the change of weights asks for", () => {
    const before = compileSplit([90, 10], seededRandom(1));
    const after = compileSplit([80, 20], seededRandom(1));
    const moved = hashes.filter((hash) => before.pick(hash) !== after.pick(hash));
    expect(moved.length / hashes.length).toBeCloseTo(0.1, 2);
    expect(moved.every((hash) => before.pick(hash) === 0)).toBeTrue();
  });

  test("draws anew without a key", () => {
    const split = compileSplit([1, 1], seededRandom(7));
    const picks = Array.from({ length: 1_000 }, () => split.pick(undefined));
    const first = picks.filter((part) => part === 0).length;
    expect(first).toBeGreaterThan(420);
    expect(first).toBeLessThan(580);
  });

  test("never picks a part of no weight", () => {
    const split = compileSplit([0, 1, 0], seededRandom(3));
    for (const hash of [...hashes.slice(0, 500), 0, 0xffff_ffff]) expect(split.pick(hash)).toBe(1);
  });
});

describe("a redirect", () => {
  const view = { scheme: "https", host: "example.com", path: "/a/b", query: "x=1" } as RequestView;
  test("fills in what it names", () =>
    expect(compileRedirect("https://{host}{path}{query}")(view)).toBe("https://example.com/a/b?x=1"));
  test("leaves out the question mark without a query", () =>
    expect(compileRedirect("/new{path}{query}")({ ...view, query: "" })).toBe("/new/a/b"));
  test("does not leave the site because of a path with two slashes", () =>
    expect(compileRedirect("{path}")({ ...view, path: "//evil.example/x" })).toBe("/evil.example/x"));
  test("cannot carry a line break", () =>
    expect(compileRedirect("{path}")({ ...view, path: "/a\r\nSet-Cookie: x" })).toBe("/aSet-Cookie:x"));
  test("refuses what it does not know", () => expect(() => compileRedirect("{hots}")).toThrow("{hots}"));
});
