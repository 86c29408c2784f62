/** Holds the documentation to what is there: links lead somewhere, shown configurations are good, named metrics and reasons exist. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { ERRORS } from "../src/base/errors.ts";
import { checkConfig } from "../src/config/load.ts";
import { formatProblems } from "../src/config/problems.ts";
import { parseSource } from "../src/config/source.ts";
import { METRICS } from "../src/observability/metrics-catalog.ts";

const root = join(import.meta.dir, "..");
const SKIPPED = new Set(["node_modules", ".git", "dist", "results"]);
/** By the language of a fenced block: what makes it a whole configuration rather than a part of one. */
const WHOLE_CONFIGURATION: Readonly<Record<string, RegExp>> = {
  yaml: /^listeners:/m,
  toml: /^\[listeners/m,
  json: /"listeners"\s*:/,
};

const pages = pagesIn(root);
const problems = pages.flatMap((page) => {
  const text = readFileSync(page, "utf8");
  const shown = showsConfigurations(page) ? configurationProblems(page, text) : [];
  return [...linkProblems(page, text), ...shown, ...nameProblems(page, text)];
});
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);

function pagesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : pagesIn(path);
    return entry.name.endsWith(".md") ? [path] : [];
  });
}

function showsConfigurations(page: string): boolean {
  const path = relative(root, page);
  return path === "README.md" || path.startsWith("docs/guide/");
}

function linkProblems(page: string, text: string): string[] {
  return prose(text).flatMap((line, index) =>
    [...line.matchAll(/\]\(([^()\s]+)(?:\s+"[^"]*")?\)|^\s*\[[^\]]+\]:\s+(\S+)/g)].flatMap(([, inline, reference]) => {
      const problem = linkProblem(page, inline ?? reference ?? "");
      return problem === undefined ? [] : [`${relative(root, page)}:${index + 1}: ${problem}`];
    }),
  );
}

function linkProblem(page: string, link: string): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(link)) return undefined;
  const [path = "", anchor] = link.split("#", 2);
  const target = path === "" ? page : resolve(dirname(page), decodeURIComponent(path));
  if (!existsSync(target)) return `${link}: there is no such file`;
  if (anchor === undefined || !target.endsWith(".md") || statSync(target).isDirectory()) return undefined;
  const known = anchorsOf(readFileSync(target, "utf8"));
  return known.has(anchor) ? undefined : `${link}: there is no such heading; there are ${[...known].join(", ")}`;
}

/** The anchors of a page's headings, made as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const line of prose(text, false)) {
    const heading = /^#{1,6}\s+(.+?)\s*#*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const shown = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/<[^>]*>/g, "");
    const slug = shown
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-");
    let unique = slug;
    for (let count = 1; anchors.has(unique); count++) unique = `${slug}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

/** The lines with those of fenced blocks made empty, and without code in the line unless it is wanted. */
function prose(text: string, withoutCode = true): string[] {
  let fence = "";
  return text.split("\n").map((line) => {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence === "" && mark !== undefined) {
      fence = mark;
      return "";
    }
    if (fence !== "") {
      if (mark?.startsWith(fence)) fence = "";
      return "";
    }
    return withoutCode ? line.replace(/`[^`]*`/g, "") : line;
  });
}

function configurationProblems(page: string, text: string): string[] {
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)].flatMap((match) => {
    const [, language = "", block = ""] = match;
    if (WHOLE_CONFIGURATION[language]?.test(block) !== true) return [];
    const line = text.slice(0, match.index).split("\n").length;
    const file = `${relative(root, page)} (block at line ${line}).${language}`;
    const source = parseSource(file, block);
    if (Array.isArray(source)) return [formatProblems(source, new Map([[file, block]]))];
    const result = checkConfig(source, {});
    const found = result.ok ? result.warnings : result.problems;
    return found.length === 0 ? [] : [formatProblems(found, result.texts)];
  });
}

/** Names of metrics and reasons that nothing in the program goes by (any more). */
function nameProblems(page: string, text: string): string[] {
  return text.split("\n").flatMap((line, index) =>
    [...line.matchAll(/\b(?:evenkeel_[a-z_]*[a-z]|E_[A-Z_]+)\b/g)].flatMap(([name]) => {
      const metric = name.replace(/_(?:bucket|sum|count)$/, "");
      const isPart = line.includes(`${name}_`);
      if (isPart || name in ERRORS || name in METRICS || metric in METRICS) return [];
      return [`${relative(root, page)}:${index + 1}: ${name}: there is no such metric or reason`];
    }),
  );
}
