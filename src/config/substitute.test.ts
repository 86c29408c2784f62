import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asTyped, substitute } from "./substitute.ts";

const environment = { A: "one", EMPTY: "", N: "5" };

function filled(text: string): unknown {
  return (substitute({ key: text }, environment).value as { key: unknown }).key;
}

describe("substitution", () => {
  const cases: [string, string][] = [
    ["${A}", "one"],
    ["x${A}y${A}", "xoneyone"],
    ["${B:-two}", "two"],
    ["${EMPTY:-two}", "two"],
    ["${EMPTY}", ""],
    ["$${A}", "${A}"],
    ["$$$$", "$$"],
    ["$A ${", "$A ${"],
    ["$1", "$1"],
  ];
  for (const [text, expected] of cases) test(text, () => expect(filled(text)).toBe(expected));

  test("what is not set is a problem with its place", () => {
    const { problems } = substitute({ a: [{ b: "${B}" }] }, environment);
    expect(problems.map(({ path, message }) => [path, message])).toEqual([
      [["a", 0, "b"], "the environment variable B is not set"],
    ]);
  });
  test("the user's words are given", () =>
    expect(substitute("${B:?where the app is}", {}).problems[0]?.message).toBe("B is not set: where the app is"));
  test("a value from the environment is not filled in again", () =>
    expect(substitute("${X}", { X: "${A}", A: "no" }).value).toBe("${A}"));

  test("a file gives its contents without the last line break, and is remembered as the origin", () => {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-substitute-"));
    writeFileSync(join(folder, "secret"), "hunter2\n");
    const { value, origins } = substitute({ key: `file:${folder}/secret` }, {});
    expect(value).toEqual({ key: "hunter2" });
    expect(origins.get("key")).toBe(`file:${folder}/secret`);
    rmSync(folder, { recursive: true });
  });
  test("only absolute paths are files", () => expect(filled("file:secret")).toBe("file:secret"));
});

test("text is read as what it looks like", () =>
  expect(["5", "-1.5", "true", "false", "5s", "", "0x5"].map(asTyped)).toEqual([
    5,
    -1.5,
    true,
    false,
    undefined,
    undefined,
    undefined,
  ]));
