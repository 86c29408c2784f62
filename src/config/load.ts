/** Loads a configuration file: read, substitute, check, and report everything that is wrong in one go. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { z } from "zod";
import { type Path, pathText } from "../base/place.ts";
import { defineConfig } from "./define-config.ts";
import { problemsOf } from "./issues.ts";
import { knownKeys } from "./known-keys.ts";
import { byPlace, type Problem } from "./problems.ts";
import { checkReferences } from "./references.ts";
import { salvage } from "./salvage.ts";
import { type Config, configSchema } from "./schema.ts";
import { parseSource, type Source, valueSource } from "./source.ts";
import { asTyped, hideOutside, substitute } from "./substitute.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export type LoadResult =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly warnings: readonly Problem[];
      readonly texts: ReadonlyMap<string, string>;
      /** What came from the environment or from files, with what stands for it: not to be shown. */
      readonly outside: ReadonlyMap<string, string>;
      /** For what is found wrong later, when it is built: with its place in the file, and without what came from outside. */
      problemAt(severity: Problem["severity"], path: Path, message: string): Problem;
    }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly texts: ReadonlyMap<string, string> };

const NAMES = ["yaml", "yml", "toml", "json", "ts"].map((ending) => `evenkeel.${ending}`);
const SYSTEM_FILE = "/etc/evenkeel/evenkeel.yaml";

/** The file that is used when none is named: EVENKEEL_CONFIG, then one in the current folder, then the system's. */
export function findConfigFile(folder: string, environment: Environment): string | undefined {
  const named = environment["EVENKEEL_CONFIG"];
  if (named !== undefined && named !== "") return named;
  return [...NAMES.map((name) => resolve(folder, name)), SYSTEM_FILE].find((path) => existsSync(path));
}

export async function loadConfig(file: string, environment: Environment): Promise<LoadResult> {
  const source = await readSource(file);
  if (Array.isArray(source)) return { ok: false, problems: source, texts: new Map() };
  if ("problems" in source) return { ok: false, problems: source.problems, texts: new Map([[file, source.text]]) };
  return checkConfig(source, environment);
}

/** Checks what has been read already. */
export function checkConfig(source: Source, environment: Environment): LoadResult {
  const texts = new Map([[source.file, source.text]]);
  const { value, origins, outside, problems: unset } = substitute(source.value, environment);
  const problemAt = (severity: "error" | "warning", path: Path, message: string, hint?: string): Problem => ({
    severity,
    file: source.file,
    ...source.locate(path),
    path: pathText(path),
    message,
    ...(hint === undefined ? {} : { hint }),
  });
  const missing = unset.map(({ path, message, hint }) => problemAt("error", path, message, hint));
  const filledIn = new Map([...origins].filter(([path]) => missing.every((problem) => problem.path !== path)));
  const parsed = parseTyped(value, origins);
  if (!parsed.result.success) {
    const valueAt = (path: Path): unknown => at(parsed.value, path);
    const found = problemsOf(parsed.result.error.issues, source, origins, valueAt, knownKeys);
    const { config, isReplaced } = salvage(parsed.value);
    // Warnings would be wrong: what was replaced may be what uses a pool.
    const more = checkReferences(config)
      .filter(({ severity, path }) => severity === "error" && !isReplaced(path))
      .map(({ path, message, hint }) => problemAt("error", path, message, hint));
    const all = [...missing, ...without(missing, [...found, ...more])];
    return { ok: false, problems: finished(all, filledIn, outside), texts };
  }
  const config = parsed.result.data;
  const findings = checkReferences(config).map(({ severity, path, message, hint }) =>
    problemAt(severity, path, message, hint),
  );
  const all = finished([...missing, ...without(missing, findings)], filledIn, outside);
  if (all.some(({ severity }) => severity === "error")) return { ok: false, problems: all, texts };
  return {
    ok: true,
    config: deepFreeze(config),
    warnings: all,
    texts,
    outside,
    problemAt: (severity, path, message) => finishedOne(problemAt(severity, path, message), filledIn, outside),
  };
}

/** In the order of the file. */
function finished(
  problems: readonly Problem[],
  origins: ReadonlyMap<string, string>,
  outside: ReadonlyMap<string, string>,
): Problem[] {
  return problems.map((problem) => finishedOne(problem, origins, outside)).sort(byPlace);
}

/** Without what came from outside: it may be secret. Where it came from is told. */
function finishedOne(
  problem: Problem,
  origins: ReadonlyMap<string, string>,
  outside: ReadonlyMap<string, string>,
): Problem {
  const message = hideOutside(problem.message, outside);
  const origin = origins.get(problem.path);
  return {
    ...problem,
    message: origin === undefined || message.includes(origin) ? message : `${message} (the value is from ${origin})`,
    ...(problem.hint === undefined ? {} : { hint: hideOutside(problem.hint, outside) }),
  };
}

/** A value that could not be filled in is complained about once. */
function without(missing: readonly Problem[], found: readonly Problem[]): Problem[] {
  const paths = new Set(missing.map(({ path }) => path));
  return found.filter(({ path }) => !paths.has(path));
}

/** What came from outside is text; where the schema wants a number or truth value it is read as one. */
function parseTyped(
  value: unknown,
  origins: ReadonlyMap<string, string>,
): { value: unknown; result: z.ZodSafeParseResult<Config> } {
  const result = configSchema.safeParse(value);
  if (result.success || origins.size === 0) return { value, result };
  const retyped = mapTexts(value, [], (text, path) => (origins.has(pathText(path)) ? (asTyped(text) ?? text) : text));
  const again = configSchema.safeParse(retyped);
  // Fewer complaints: the conversion was right. Texts that merely look like numbers stay texts.
  return again.success || again.error.issues.length < result.error.issues.length
    ? { value: retyped, result: again }
    : { value, result };
}

function mapTexts(value: unknown, path: Path, change: (text: string, path: Path) => unknown): unknown {
  if (typeof value === "string") return change(value, path);
  if (Array.isArray(value)) return value.map((item, index) => mapTexts(item, [...path, index], change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, [...path, key], change)]));
}

const MAX_FILE_BYTES = 16 * 1_048_576;

async function readSource(file: string): Promise<Source | Problem[] | { problems: Problem[]; text: string }> {
  const whole = (message: string, hint?: string): Problem[] => [
    { severity: "error", file, line: 0, column: 0, path: "", message, ...(hint === undefined ? {} : { hint }) },
  ];
  if (!/\.(ya?ml|json|toml|ts)$/.test(file))
    return whole("expected a file that ends with .yaml, .yml, .json, .toml or .ts");
  let text: string;
  try {
    if (statSync(file).size > MAX_FILE_BYTES) return whole("the file is larger than 16 MiB");
    text = readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return whole("there is no such file");
    return whole(code === "EISDIR" ? "this is a folder, not a file" : `cannot be read: ${code}`);
  }
  if (file.endsWith(".ts")) return importSource(file, whole);
  const source = parseSource(file, text);
  if (Array.isArray(source)) return { problems: source, text };
  if (typeof source.value !== "object" || source.value === null || Array.isArray(source.value)) {
    return whole("expected keys and values at the top, such as listeners: and pools:");
  }
  return source;
}

/** Makes `import { defineConfig } from "evenkeel"` work wherever the file is, in the single-file program too. */
function provideOwnModule(): void {
  if (ownModuleProvided) return;
  ownModuleProvided = true;
  Bun.plugin({
    name: "evenkeel",
    setup: (build) => void build.module("evenkeel", () => ({ exports: { defineConfig }, loader: "object" })),
  });
}

let ownModuleProvided = false;

async function importSource(file: string, whole: (message: string) => Problem[]): Promise<Source | Problem[]> {
  provideOwnModule();
  try {
    // The query makes a reload see the file as it is now.
    const url = `${pathToFileURL(resolve(file)).href}?${statSync(file).mtimeMs}`;
    const module = (await import(url)) as { default?: unknown };
    if (typeof module.default !== "object" || module.default === null)
      return whole("expected `export default defineConfig({...})`");
    return valueSource(file, structuredClone(module.default));
  } catch (error) {
    return whole(`cannot be imported: ${(error as Error).message}`);
  }
}

function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (current, part) => (current as Record<string | number, unknown> | undefined | null)?.[part],
    value,
  );
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
