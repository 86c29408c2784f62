/**
 * Configuration files with something done to them: whatever it is, loading ends with a configuration or with problems that
 * say what and where, never with an exception, and never by showing what came from the environment.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type LoadResult, loadConfig } from "../../src/config/load.ts";
import { formatProblems, type Problem } from "../../src/config/problems.ts";
import { runs } from "./generators.ts";

const FOLDER = join(import.meta.dir, "..", "golden", "config");
const SECRET = "Xyzzy-31337-plugh";
const ENVIRONMENT = { TEST_HOST: "10.1.2.3", TEST_WORKERS: "3", TEST_WATCH: "true", TEST_SECRET: SECRET };

const files = readdirSync(FOLDER).filter((name) => /\.(yaml|toml|json)$/.test(name));
const texts = new Map(files.map((name) => [name, readFileSync(join(FOLDER, name), "utf8")]));
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "evenkeel-fuzz-"));
  writeFileSync(join(folder, "secret"), SECRET);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Values that YAML, JSON and TOML know, and some that none of them does. */
const ODD_VALUES = [
  "~",
  "null",
  "true",
  "[]",
  "{}",
  "[[]]",
  "[1, two, {}]",
  '{ a: { b: { c: "d" } } }',
  "-1",
  "0",
  "1e999",
  "99999999999999999999",
  "0x10",
  ".nan",
  "1979-05-27T07:32:00Z",
  '""',
  '"\\u0000"',
  '"__proto__"',
  "constructor",
  "10xyz",
  "-5s",
  "9999999999999h",
  "*anchor",
  "&anchor x",
  "!!binary abc",
  "? x",
  "|\n  text",
  '"${TEST_SECRET}"',
  '"a${TEST_SECRET}b"',
  '"${UNSET:-x}"',
  '"${UNSET:?say so}"',
  '"${"',
  '"file:SECRET_FILE"',
  '"file:/nowhere/at/all"',
  '"("',
  '"(a+)+$"',
  "(((((((((((((((((((((",
  `"${"x".repeat(5_000)}"`,
  `${"[".repeat(200)}${"]".repeat(200)}`,
];
const ODD_LINES = [
  "__proto__: { polluted: true }",
  "constructor: { prototype: 1 }",
  "  toString: 1",
  "<<: *x",
  "---",
  "\ttab: 1",
  "listeners: 1",
  "pools: { ${TEST_SECRET}: 1 }",
  '"${TEST_SECRET}": ${TEST_SECRET}',
  "[a.b.__proto__]",
  "[[routes]]",
  "a.b = 1",
  "%YAML 1.1",
];

type Mutation = (text: string, at: number) => string;

const oddValue: fc.Arbitrary<Mutation> = fc.constantFrom(...ODD_VALUES).map((value) => (text, at) => {
  const places = [...text.matchAll(/(?<=[:=[,] ?)[^\s:=[\]{},][^,\]}\n]*/g)];
  const place = places[Math.floor(places.length * at)];
  if (place === undefined) return value;
  return text.slice(0, place.index) + value + text.slice(place.index + place[0].length);
});
const oddLine: fc.Arbitrary<Mutation> = fc.constantFrom(...ODD_LINES).map((line) => (text, at) => {
  const lines = text.split("\n");
  return lines.toSpliced(Math.floor(lines.length * at), 0, line).join("\n");
});
const lineAgain: fc.Arbitrary<Mutation> = fc.constant((text, at) => {
  const lines = text.split("\n");
  const index = Math.floor(lines.length * at);
  return lines.toSpliced(index, 0, lines[index] ?? "").join("\n");
});
const lineGone: fc.Arbitrary<Mutation> = fc.constant((text, at) => {
  const lines = text.split("\n");
  return lines.toSpliced(Math.floor(lines.length * at), 1).join("\n");
});
const bytes: fc.Arbitrary<Mutation> = fc
  .oneof(
    fc.constantFrom("\0", "\r", "\t", "{", "}", "[", "]", ":", "'", '"', "&a ", "*a", "\u2028", "\ud800"),
    fc.string(),
  )
  .map((piece) => (text, at) => {
    const place = Math.floor(text.length * at);
    return text.slice(0, place) + piece + text.slice(place + 1);
  });
const indent: fc.Arbitrary<Mutation> = fc.constantFrom(" ", "  ", "\t").map((space) => (text, at) => {
  const lines = text.split("\n");
  const index = Math.floor(lines.length * at);
  return lines.with(Math.min(index, lines.length - 1), space + (lines[index] ?? "")).join("\n");
});

const change = fc.tuple(
  fc.oneof(
    { arbitrary: oddValue, weight: 6 },
    { arbitrary: fc.oneof(oddLine, lineAgain, lineGone, bytes, indent), weight: 5 },
  ),
  fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
);

const changedFile = fc
  .tuple(fc.constantFrom(...files), fc.array(change, { minLength: 1, maxLength: 3 }))
  .map(([name, changes]) => {
    const text = changes.reduce((all, [mutate, at]) => mutate(all, at), texts.get(name) as string);
    return { name, text };
  });

async function load(name: string, text: string): Promise<LoadResult> {
  const path = join(folder, name);
  writeFileSync(path, text);
  return loadConfig(path, ENVIRONMENT);
}

function checkProblem({ line, column, message, hint, severity }: Problem, lines: readonly string[]): void {
  expect(message.trim()).not.toBe("");
  expect(hint).not.toBe("");
  expect(["error", "warning"]).toContain(severity);
  // Just behind the end of a line is where something is missing.
  const widest = line === 0 ? 0 : (lines[line - 1] ?? "").length + 1;
  const isPlace = line >= 0 && line <= lines.length && column >= Math.min(line, 1) && column <= widest;
  expect({ line, column, widest, isPlace, message }).toEqual({ line, column, widest, isPlace: true, message });
}

test("whatever is done to a configuration file, loading it ends well", async () => {
  const property = fc.asyncProperty(changedFile, async ({ name, text }) => {
    const result = await load(name, text.replaceAll("SECRET_FILE", join(folder, "secret")));
    const problems = result.ok ? result.warnings : result.problems;
    if (!result.ok) expect(problems.some(({ severity }) => severity === "error")).toBe(true);
    const lines = readFileSync(join(folder, name), "utf8").split("\n");
    for (const problem of problems) checkProblem(problem, lines);
    expect(formatProblems(problems, result.texts)).not.toContain(SECRET);
    expect(JSON.stringify(problems)).not.toContain(SECRET);
  });
  await fc.assert(property, runs(1_200));
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

test("a file of any text at all", async () => {
  const property = fc.asyncProperty(
    fc.constantFrom("any.yaml", "any.toml", "any.json"),
    fc.string({ unit: "binary", maxLength: 60 }),
    async (name, text) => {
      const result = await load(name, text);
      if (!result.ok) expect(result.problems.length).toBeGreaterThan(0);
      expect(formatProblems(result.ok ? result.warnings : result.problems, result.texts)).not.toContain(SECRET);
    },
  );
  await fc.assert(property, runs(500));
});

/** What was once found by the properties above: a file, and what must be said of it. */
const FOUND: [string, string, string][] = [
  ["empty.yaml", 'listeners: { web: { address: "" } }', "listeners.web.address: expected"],
  ["secret.yaml", 'listeners: { web: { address: "${TEST_SECRET}" } }', 'found "${TEST_SECRET}"'],
  ["pool.yaml", 'listeners: { web: { address: ":80", pool: "x-${TEST_SECRET}" } }', "named x-${TEST_SECRET}"],
  ["word.yaml", 'listeners: { web: { address: ":80" } }\nconstructor: 1', "constructor: unknown key"],
  ["name.yaml", 'listeners: { web: { address: ":80", pool: constructor } }', "no pool named constructor"],
  ["proto.toml", '[listeners.web]\naddress = ":80"\n[a.__proto__]\naddress = "x"', "a: unknown key"],
  ["place.json", '"listeners": {},\n  "pools": {} }\n', "place.json:2:15: error: Unexpected flow-map-end"],
];

test.each(FOUND)("%s: %j", async (name, text, expected) => {
  const result = await load(name, text);
  const shown = formatProblems(result.ok ? result.warnings : result.problems, result.texts);
  expect(shown).toContain(expected);
  expect(shown).not.toContain(SECRET);
  expect(({} as Record<string, unknown>)["address"]).toBeUndefined();
});
