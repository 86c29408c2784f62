/**
 * Configuration files and what comes of them: for a valid file what differs from the defaults, for another what the
 * user is told. `UPDATE=1` writes the expectations anew; read the difference before committing it.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../../src/config/load.ts";
import { formatProblems } from "../../src/config/problems.ts";
import type { Config } from "../../src/config/schema.ts";

const FOLDER = join(import.meta.dir, "config");
const ENVIRONMENT = { TEST_HOST: "10.1.2.3", TEST_WORKERS: "3", TEST_WATCH: "true", TEST_SECRET: "hunter2" };

const inputs = readdirSync(FOLDER).filter((file) => !file.endsWith(".expected"));
const defaults = new Set(flatten(await load("minimal.yaml")));

describe("configuration files", () => {
  test("are at least sixty", () => expect(inputs.length).toBeGreaterThanOrEqual(60));

  for (const input of inputs) {
    test(input, async () => {
      const expectation = join(FOLDER, `${input}.expected`);
      const found = await outcome(input);
      if (process.env["UPDATE"] === "1" || !existsSync(expectation)) writeFileSync(expectation, found);
      expect(found).toBe(readFileSync(expectation, "utf8"));
      expect(found).not.toContain(ENVIRONMENT.TEST_SECRET);
    });
  }
});

async function outcome(input: string): Promise<string> {
  const result = await loadConfig(join(FOLDER, input), ENVIRONMENT);
  const problems = formatProblems(result.ok ? result.warnings : result.problems, result.texts);
  const shown = problems === "" ? "" : `${problems.replaceAll(`${FOLDER}/`, "")}\n`;
  if (!result.ok) return `refused\n${shown}`;
  const settings = flatten(result.config).filter((line) => !defaults.has(line));
  return `accepted\n${shown}${settings.map((line) => `${line}\n`).join("")}`;
}

async function load(input: string): Promise<Config> {
  const result = await loadConfig(join(FOLDER, input), ENVIRONMENT);
  if (!result.ok) throw new Error(formatProblems(result.problems, result.texts));
  return result.config;
}

function flatten(value: unknown, path = ""): string[] {
  if (typeof value !== "object" || value === null) return [`${path} = ${JSON.stringify(value)}`];
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (Array.isArray(value) ? 0 : a < b ? -1 : 1));
  if (entries.length === 0) return [`${path} = ${Array.isArray(value) ? "[]" : "{}"}`];
  return entries.flatMap(([key, item]) =>
    flatten(item, Array.isArray(value) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`),
  );
}
