/** `npm run build`: one file that needs nothing else, and a try whether it runs. */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const output = join(root, "dist", "evenkeel");
mkdirSync(join(root, "dist"), { recursive: true });
const built = Bun.spawnSync(
  [process.execPath, "build", "--compile", "--minify-syntax", join(root, "src", "cli", "main.ts"), "--outfile", output],
  {
    cwd: root,
    stdout: "inherit",
    stderr: "inherit",
  },
);
if (built.exitCode !== 0) process.exit(1);
const tried = Bun.spawnSync([output, "version"]);
if (tried.exitCode !== 0) {
  console.error(`dist/evenkeel does not run: ${tried.stderr}`);
  process.exit(1);
}
console.log(`dist/evenkeel (${Math.round(statSync(output).size / 1_048_576)} MiB): ${String(tried.stdout).trim()}`);
