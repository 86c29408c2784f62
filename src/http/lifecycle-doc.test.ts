import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ERRORS } from "../base/errors.ts";
import { PHASES } from "./handle-exchange.ts";

const root = join(import.meta.dir, "..", "..");
const page = readFileSync(join(root, "docs", "request-lifecycle.md"), "utf8");

test("the page describes the phases, all of them and in order", () => {
  const described = [...page.matchAll(/^\|\s*([a-z]+)\s*\|\s*`/gm)].map(([, phase]) => phase);
  expect(described).toEqual([...PHASES]);
});

test("the files and codes it names exist", () => {
  for (const [, path] of page.matchAll(/`((?:src\/)?[a-z0-9-]+\/[a-z0-9/-]+\.ts)`/g)) {
    expect([path, existsSync(join(root, path!.startsWith("src/") ? path! : `src/${path}`))]).toEqual([path, true]);
  }
  for (const [code] of page.matchAll(/E_[A-Z_]+/g)) expect(Object.keys(ERRORS)).toContain(code);
});
