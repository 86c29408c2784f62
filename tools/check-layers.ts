/** Holds the imports of src/ against the table in docs/architecture.md: down only, never sideways, never in a circle. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const root = join(import.meta.dir, "..");
const source = join(root, "src");
const rows = readRows();
const problems: string[] = [];
const graph = new Map<string, string[]>();

for (const file of files()) {
  const folder = folderOf(file);
  if (!rows.has(folder)) problems.push(`${file}: the folder ${folder} is not in the table of docs/architecture.md`);
  const imports = importsOf(file);
  graph.set(
    file,
    imports.map(({ target }) => target),
  );
  for (const { target, line } of imports) {
    const other = folderOf(target);
    if (other === folder || !target.startsWith("src/")) continue;
    const [from, to] = [rows.get(folder), rows.get(other)];
    if (from === undefined || to === undefined || to > from) continue;
    const why = to === from ? "stands in the same row" : "stands above it";
    problems.push(`${file}:${line}: ${folder} may not import ${other}, which ${why}`);
  }
}
problems.push(...circles());
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);

function readRows(): Map<string, number> {
  const table = new Map<string, number>();
  for (const line of readFileSync(join(root, "docs", "architecture.md"), "utf8").split("\n")) {
    const match = /^\|\s*(\d+)\s*\|([^|]*)\|/.exec(line);
    for (const [, folder] of match?.[2]?.matchAll(/`([a-z0-9-]+)`/g) ?? [])
      table.set(folder as string, Number(match?.[1]));
  }
  return table;
}

function files(): string[] {
  return readdirSync(source, { recursive: true })
    .map((name) => `src/${String(name)}`)
    .filter((file) => file.endsWith(".ts"))
    .sort();
}

function folderOf(file: string): string {
  return file.split("/")[1] ?? "";
}

function importsOf(file: string): { target: string; line: number }[] {
  const lines = readFileSync(join(root, file), "utf8").split("\n");
  return lines.flatMap((text, index) => {
    const match = /^\s*(?:import|export|\} from)\b.*?["'](\.[^"']+)["']/.exec(text);
    if (match === null) return [];
    return [{ target: relative(root, join(root, dirname(file), match[1] as string)), line: index + 1 }];
  });
}

function circles(): string[] {
  const state = new Map<string, "open" | "done">();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      found.push(`a circle of imports: ${[...path.slice(path.indexOf(file)), file].join(" -> ")}`);
      return;
    }
    state.set(file, "open");
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, "done");
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}
