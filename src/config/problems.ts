/** What is wrong with a configuration, and how it is shown. */

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Problem {
  readonly severity: "error" | "warning";
  readonly file: string;
  /** From 1; 0 when the format has no positions (TypeScript). */
  readonly line: number;
  readonly column: number;
  /** `pools.app.endpoints[0].weight`; "" for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** How to mend it. */
  readonly hint?: string;
}

/** For people: a line for each, in the order of the file, with the line of the file below it. `texts` are the files' contents. */
export function formatProblems(problems: readonly Problem[], texts: ReadonlyMap<string, string>): string {
  return problems.map((problem) => formatProblem(problem, texts.get(problem.file))).join("\n");
}

function formatProblem(problem: Problem, text: string | undefined): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  const path = problem.path === "" ? "" : `${problem.path}: `;
  let shown = `${place}: ${problem.severity}: ${path}${problem.message}`;
  const line = problem.line > 0 ? text?.split("\n")[problem.line - 1] : undefined;
  if (line !== undefined && line.length < 200) {
    const gutter = String(problem.line).padStart(5);
    shown += `\n${gutter} | ${line}\n      | ${" ".repeat(Math.max(0, problem.column - 1))}^`;
  }
  return problem.hint === undefined ? shown : `${shown}\n        ${problem.hint}`;
}

export function byPlace(a: Problem, b: Problem): number {
  return a.file.localeCompare(b.file) || a.line - b.line || a.column - b.column;
}
