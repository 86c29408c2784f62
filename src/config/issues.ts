/** From the schema's complaints to problems that name the place, what was expected and what was found. */
import type { z } from "zod";
import { type Path, pathText } from "../base/place.ts";
import { suggest } from "../base/suggest.ts";
import { foreignAlgorithm, foreignWordHint } from "./hints.ts";
import type { Problem } from "./problems.ts";
import type { Source } from "./source.ts";

type Issue = z.core.$ZodIssue;

/** `origins` are the paths whose values came from outside and must not be shown. `knownKeys` lists the keys an object may have. */
export function problemsOf(
  issues: readonly Issue[],
  source: Source,
  origins: ReadonlyMap<string, string>,
  valueAt: (path: Path) => unknown,
  knownKeys: (path: Path) => readonly string[],
): Problem[] {
  const found = (path: Path): string =>
    origins.get(pathText(path))?.replace(/^/, "a value from ") ?? shown(valueAt(path));
  return issues
    .flatMap((issue) => flatten(issue, []))
    .flatMap(({ issue, path }) => {
      if (issue.code === "unrecognized_keys") {
        return issue.keys.map((key) => unknownKey(source, [...path, key], key, knownKeys(path)));
      }
      const missing = valueAt(path) === undefined;
      const message = missing ? `is missing; ${expectation(issue)}` : `${expectation(issue)}, found ${found(path)}`;
      const hint = addressHint(path, valueAt(path)) ?? didYouMean(valueAt(path), issue);
      return [
        {
          severity: "error" as const,
          file: source.file,
          ...source.locate(path),
          path: pathText(path),
          message,
          ...hint,
        },
      ];
    });
}

/** Where what does not fit stands; for unknown keys, the keys. */
export function locateIssues(issues: readonly Issue[]): Path[] {
  return issues
    .flatMap((issue) => flatten(issue, []))
    .flatMap(({ issue, path }) =>
      issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...path, key]) : [path],
    );
}

interface Located {
  readonly issue: Issue;
  readonly path: Path;
}

/** Goes down into unions, to the branch that was most likely meant. */
function flatten(issue: Issue, above: Path): Located[] {
  const path = [...above, ...(issue.path as Path)];
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return [{ issue, path }];
  const branches = [...issue.errors].sort((a, b) => distance(a) - distance(b));
  const best = branches[0] ?? [];
  // When no branch even has the right type, say what there could be.
  if (branches.every((branch) => branch.some(isWrongKind))) {
    const wanted = [...new Set(branches.flatMap((branch) => branch.filter(isWrongKind).map(expectedKind)))];
    return [{ issue: { ...issue, code: "custom", message: `expected ${wanted.join(" or ")}` } as Issue, path }];
  }
  return best.flatMap((inner) => flatten(inner, path));
}

function isWrongKind(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value");
}

/** How far a branch is from what was written: the wrong type is far, an unknown key is near, a wrong value nearer. */
function distance(branch: readonly Issue[]): number {
  return branch.reduce((sum, issue) => {
    if (isWrongKind(issue)) return sum + 100;
    if (issue.code === "invalid_value" && ["type", "protocol"].includes(String(issue.path.at(-1)))) return sum + 50;
    return sum + (issue.code === "unrecognized_keys" ? 3 * issue.keys.length : 1);
  }, 0);
}

function expectedKind(issue: Issue): string {
  if (issue.code === "invalid_type") return article(issue.expected);
  return issue.code === "invalid_value"
    ? issue.values.map((value) => JSON.stringify(value)).join(", ")
    : "something else";
}

const ARTICLES: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "an object",
  record: "an object",
  array: "a list",
  null: "null",
};

function article(kind: string): string {
  return ARTICLES[kind] ?? kind;
}

function expectation(issue: Issue): string {
  if (issue.message.startsWith("expected ")) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `expected ${article(issue.expected)}`;
    case "invalid_value":
      return `expected ${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}`;
    case "too_small":
      return issue.origin === "array" || issue.origin === "string"
        ? `expected at least ${issue.minimum} ${issue.origin === "array" ? "entries" : "characters"}`
        : `expected ${issue.minimum} or more`;
    case "too_big":
      return issue.origin === "array" || issue.origin === "string"
        ? `expected at most ${issue.maximum} ${issue.origin === "array" ? "entries" : "characters"}`
        : `expected ${issue.maximum} or less`;
    case "invalid_union":
      return "discriminator" in issue && issue.discriminator !== undefined
        ? `expected a known ${issue.discriminator}`
        : "expected another form";
    case "invalid_key":
      return issue.issues[0]?.message ?? "expected another name for this key";
    case "invalid_format":
      return issue.message.startsWith("expected")
        ? issue.message
        : issue.format === "starts_with"
          ? 'expected it to start with "/"'
          : issue.message;
    default:
      return issue.message;
  }
}

function didYouMean(value: unknown, issue: Issue): { hint?: string } {
  const words = issue.message.match(/"[^"]+"/g)?.map((word) => word.slice(1, -1)) ?? [];
  const options = issue.code === "invalid_value" ? issue.values.map(String) : words;
  const near = typeof value === "string" ? nearest(value, options) : undefined;
  return near === undefined ? {} : { hint: `did you mean ${near}?` };
}

/** A bare port is what the address of a listener is in most other programs. */
function addressHint(path: Path, value: unknown): { hint: string } | undefined {
  if (typeof value !== "number") return undefined;
  if (path.at(-1) === "address" && path[0] !== "pools") return { hint: `write ":${value}"` };
  const isEndpoint = path[0] === "pools" && path[2] === "endpoints" && (path.length === 4 || path[4] === "address");
  return isEndpoint ? { hint: `write host:port, such as 127.0.0.1:${value}` } : undefined;
}

function nearest(value: string, options: readonly string[]): string | undefined {
  const translated = foreignAlgorithm(value);
  return translated !== undefined && options.includes(translated) ? translated : suggest(value, options);
}

function unknownKey(source: Source, path: Path, key: string, known: readonly string[]): Problem {
  return {
    severity: "error",
    file: source.file,
    ...source.locate(path, true),
    path: pathText(path),
    message: "unknown key",
    hint: keyHint(key, known),
  };
}

function keyHint(key: string, known: readonly string[]): string {
  const near = suggest(key, known);
  if (near === undefined) return foreignWordHint(key) ?? `there are: ${known.join(", ")}`;
  // One of the other shapes that this object could have knows it: another protocol, another kind of check.
  return near === key ? "it does not go with the protocol or type that is set here" : `did you mean ${near}?`;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
