/** `npm run check`: every gate in one command. With `--without-tests` only the static ones. */
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const bin = (name: string): string => join(root, "node_modules", ".bin", name);

const gates: { name: string; command: string[] }[] = [
  {
    name: "format and lint",
    command: [bin("biome"), "check", "--error-on-warnings", "src", "test", "tools", "bench", "examples"],
  },
  { name: "types", command: [bin("tsc"), "-p", "."] },
  { name: "promises", command: [bin("oxlint"), "--type-aware", "--quiet", "src", "tools", "test", "bench"] },
  { name: "layers", command: [process.execPath, "tools/check-layers.ts"] },
  { name: "documentation", command: [process.execPath, "tools/check-docs.ts"] },
  { name: "generated files", command: [process.execPath, "tools/generate.ts", "--check"] },
];
if (!process.argv.includes("--without-tests")) {
  gates.push({ name: "tests", command: [process.execPath, "test", "src", "test/golden", "test/reference"] });
}

let failed = 0;
for (const { name, command } of gates) {
  const started = performance.now();
  const result = Bun.spawnSync(command, { cwd: root, stdout: "pipe", stderr: "pipe" });
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  console.log(`${result.exitCode === 0 ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
  if (result.exitCode === 0) continue;
  failed++;
  console.log(`${result.stdout}${result.stderr}`);
}
process.exit(failed === 0 ? 0 : 1);
