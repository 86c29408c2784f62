/** Configuration files: text to plain values, with the place of every value. */
import { parseTOML } from "toml-eslint-parser";
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import type { Path } from "../base/place.ts";
import type { Position, Problem } from "./problems.ts";

export interface Source {
  readonly file: string;
  readonly text: string;
  readonly value: unknown;
  /** Where the value at `path` is, or the nearest one above it. With `key`, where its key is. */
  locate(path: Path, key?: boolean): Position;
}

const NOWHERE: Position = { line: 0, column: 0 };

/** Parses YAML, JSON or TOML, by the file's ending. */
export function parseSource(file: string, text: string): Source | Problem[] {
  return file.endsWith(".toml") ? parseToml(file, text) : parseYaml(file, text);
}

/** A value without positions: what a TypeScript file exports. */
export function valueSource(file: string, value: unknown): Source {
  return { file, text: "", value, locate: () => NOWHERE };
}

function parseYaml(file: string, text: string): Source | Problem[] {
  // Filled here: the parser stops counting lines where it gives up, and would place what it complains about too early.
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines.addNewLine(at + 1);
  const document = parseDocument(text, {
    uniqueKeys: true,
    prettyErrors: false,
    version: "1.2",
    logLevel: "error",
  });
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (document.errors.length > 0) {
    return document.errors.map((error) => ({
      severity: "error",
      file,
      ...place(error.pos[0]),
      path: "",
      message: syntaxMessage(error.message),
    }));
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return [{ severity: "error", file, line: 1, column: 1, path: "", message: (error as Error).message }];
  }
  const locate = (path: Path, key = false): Position => {
    let node: unknown = document.contents;
    let offset = offsetOf(node);
    for (const [depth, part] of path.entries()) {
      if (isMap(node)) {
        const pair = node.items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === String(part));
        if (pair === undefined) break;
        node = pair.value;
        const wantsKey = (key && depth === path.length - 1) || offsetOf(node) < 0;
        offset = offsetOf(wantsKey ? pair.key : node);
      } else if (isSeq(node)) {
        node = node.items[Number(part)];
        if (node === undefined) break;
        offset = offsetOf(node);
      } else break;
    }
    return place(Math.max(0, offset));
  };
  return { file, text, value: value ?? {}, locate };
}

function offsetOf(node: unknown): number {
  return (node as Node | null)?.range?.[0] ?? -1;
}

function syntaxMessage(message: string): string {
  return message.split("\n")[0] ?? message;
}

interface Marks {
  position: Position;
  keyPosition: Position;
  readonly children: Map<string, Marks>;
}

function parseToml(file: string, text: string): Source | Problem[] {
  let program: ReturnType<typeof parseTOML>;
  try {
    program = parseTOML(text, { filePath: file });
  } catch (error) {
    const { lineNumber = 1, column = 0, message } = error as { lineNumber?: number; column?: number; message: string };
    return [{ severity: "error", file, line: lineNumber, column: column + 1, path: "", message }];
  }
  const root: Marks = { position: { line: 1, column: 1 }, keyPosition: { line: 1, column: 1 }, children: new Map() };
  const value = emptyTable();
  for (const node of program.body[0].body) readTomlNode(node as TomlNode, value, root);
  const locate = (path: Path, key = false): Position => {
    let marks = root;
    for (const part of path) {
      const child = marks.children.get(String(part));
      if (child === undefined) return marks.position;
      marks = child;
    }
    return key ? marks.keyPosition : marks.position;
  };
  return { file, text, value, locate };
}

/** The nodes of the parser's tree that matter here. */
interface TomlNode {
  readonly type: string;
  readonly loc: { readonly start: { readonly line: number; readonly column: number } };
  readonly kind?: string;
  readonly resolvedKey?: readonly (string | number)[];
  readonly body?: readonly TomlNode[];
  readonly elements?: readonly TomlNode[];
  readonly key?: {
    readonly keys: readonly { readonly type: string; readonly name?: string; readonly value?: string }[];
  } & TomlNode;
  readonly value?: unknown;
}

function readTomlNode(node: TomlNode, target: Record<string, unknown>, marks: Marks): void {
  if (node.type === "TOMLTable") {
    let table = target;
    let tableMarks = marks;
    const parts = node.resolvedKey ?? [];
    for (const [depth, part] of parts.entries()) {
      const isList = typeof parts[depth + 1] === "number";
      [table, tableMarks] = enter(table, tableMarks, part, position(node), isList);
    }
    for (const child of node.body ?? []) readTomlNode(child, table, tableMarks);
    return;
  }
  const keys = (node.key?.keys ?? []).map((key) => key.name ?? key.value ?? "");
  const last = keys.pop() ?? "";
  let table = target;
  let tableMarks = marks;
  for (const part of keys) [table, tableMarks] = enter(table, tableMarks, part, position(node));
  const value = node.value as TomlNode;
  const child: Marks = { position: position(value), keyPosition: position(node), children: new Map() };
  tableMarks.children.set(last, child);
  table[last] = tomlValue(value, child);
}

/** Tables are objects, arrays of tables are lists; the keys of both are made when first entered. */
function enter(
  table: Record<string, unknown>,
  marks: Marks,
  part: string | number,
  at: Position,
  isList = false,
): [Record<string, unknown>, Marks] {
  const key = String(part);
  let child = marks.children.get(key);
  if (child === undefined) {
    child = { position: at, keyPosition: at, children: new Map() };
    marks.children.set(key, child);
  }
  table[key] ??= isList ? [] : emptyTable();
  return [table[key] as Record<string, unknown>, child];
}

/** Without a prototype: a key may be called `__proto__`. */
function emptyTable(): Record<string, unknown> {
  return Object.create(null) as Record<string, unknown>;
}

function tomlValue(node: TomlNode, marks: Marks): unknown {
  if (node.type === "TOMLArray") {
    return (node.elements ?? []).map((element, index) => {
      const child: Marks = { position: position(element), keyPosition: position(element), children: new Map() };
      marks.children.set(String(index), child);
      return tomlValue(element, child);
    });
  }
  if (node.type === "TOMLInlineTable") {
    const table = emptyTable();
    for (const child of node.body ?? []) readTomlNode(child, table, marks);
    return table;
  }
  return typeof node.value === "bigint" ? Number(node.value) : node.value;
}

function position(node: TomlNode): Position {
  return { line: node.loc.start.line, column: node.loc.start.column + 1 };
}
