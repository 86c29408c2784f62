#!/usr/bin/env node
// The `evenkeel` command of the package.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runBun } from "./run.mjs";

process.exitCode = await runBun([
  join(dirname(fileURLToPath(import.meta.url)), "..", "src", "cli", "main.ts"),
  ...process.argv.slice(2),
]);
