/**
 * Values from outside: `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `$$` for a dollar sign, and `file:/path` for the
 * contents of a file. What came from outside may be secret: its path is remembered so that it is never shown.
 */
import { readFileSync } from "node:fs";
import { type Path, pathText } from "../base/place.ts";

export interface Substituted {
  readonly value: unknown;
  /** Where each substituted value came from, by path. */
  readonly origins: ReadonlyMap<string, string>;
  /** The texts that came from outside, each with what stands for it in the file. */
  readonly outside: ReadonlyMap<string, string>;
  readonly problems: readonly { readonly path: Path; readonly message: string; readonly hint?: string }[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const MAX_FILE_BYTES = 1_048_576;

export function substitute(value: unknown, environment: Environment): Substituted {
  const origins = new Map<string, string>();
  const outside = new Map<string, string>();
  const problems: { path: Path; message: string; hint?: string }[] = [];
  const walk = (current: unknown, path: Path): unknown => {
    if (typeof current === "string") {
      const origin = originOf(current);
      if (origin === undefined) return current.includes("$$") ? current.replaceAll("$$", "$") : current;
      origins.set(pathText(path), origin);
      try {
        return current.startsWith("file:") ? readSecret(current, outside) : fill(current, environment, outside);
      } catch (error) {
        const hint = `set it, or give a default: ${"$"}{NAME:-value}`;
        problems.push({ path, message: (error as Error).message, ...(current.startsWith("file:") ? {} : { hint }) });
        return current;
      }
    }
    if (Array.isArray(current)) return current.map((item, index) => walk(item, [...path, index]));
    if (typeof current === "object" && current !== null) {
      return Object.fromEntries(Object.entries(current).map(([key, item]) => [key, walk(item, [...path, key])]));
    }
    return current;
  };
  return { value: walk(value, []), origins, outside, problems };
}

function originOf(text: string): string | undefined {
  if (text.startsWith("file:/")) return text;
  const first = /(?<!\$)(?:\$\$)*\$\{([A-Za-z_][A-Za-z0-9_]*)/.exec(text);
  return first === null ? undefined : `${"$"}{${first[1]}}`;
}

function fill(text: string, environment: Environment, outside: Map<string, string>): string {
  return text.replace(
    /\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^}]*))?\}/g,
    (whole, name: string | undefined, operator, rest: string) => {
      if (whole === "$$" || name === undefined) return "$";
      const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
      if (value !== undefined && value !== "") {
        outside.set(value, `${"$"}{${name}}`);
        return value;
      }
      if (operator === "-") return rest;
      if (operator === "?") throw new Error(`${name} is not set: ${rest}`);
      if (value === "") return "";
      throw new Error(`the environment variable ${name} is not set`);
    },
  );
}

function readSecret(reference: string, outside: Map<string, string>): string {
  const path = reference.slice("file:".length);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? "unknown error"}`);
  }
  if (text.length > MAX_FILE_BYTES) throw new Error(`${path} is larger than 1 MiB`);
  const secret = text.replace(/\r?\n$/, "");
  outside.set(secret, reference);
  return secret;
}

/** Texts shorter than this are no secrets, and would be found in every message. */
const MIN_HIDDEN_LENGTH = 4;

/** `message` with whatever came from outside replaced by what stands for it in the file. */
export function hideOutside(message: string, outside: ReadonlyMap<string, string>): string {
  const longestFirst = [...outside].sort(([a], [b]) => b.length - a.length);
  return longestFirst.reduce((text, [value, origin]) => {
    if (value.length < MIN_HIDDEN_LENGTH) return text;
    // Messages quote values as JSON does.
    return text.replaceAll(value, () => origin).replaceAll(JSON.stringify(value).slice(1, -1), () => origin);
  }, message);
}

/** A substituted text as the number or truth value it looks like; undefined when it looks like neither. */
export function asTyped(text: string): number | boolean | undefined {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}
