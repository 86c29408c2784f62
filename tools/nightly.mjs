// `npm run nightly`: what takes too long for every change. Ten minutes of soak, ten of chaos, and fuzzing for twenty times as long.
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installDependencies, runBun } from "./run.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const SOAK_SECONDS = "600";
const CHAOS_SECONDS = "600";
const FUZZ_TIMES = "20";
const TEST_TIMEOUT_MS = "3600000";

installDependencies();
const fuzz = readdirSync(join(root, "test", "fuzz"))
  .filter((name) => name.endsWith(".fuzz.test.ts"))
  .map((name) => join(root, "test", "fuzz", name));
const soak = join(root, "test", "scenarios", "soak.test.ts");
const env = { EVENKEEL_SOAK_SECONDS: SOAK_SECONDS, EVENKEEL_FUZZ_TIMES: FUZZ_TIMES, ...process.env };
let failed = 0;
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
  process.on(signal, () => {
    interrupted = true;
  });
/** What was not begun when somebody wanted an end is not begun any more. */
async function run(args) {
  if (interrupted) process.exit(1);
  if ((await runBun(args, { cwd: root, env })) !== 0) failed++;
}
// One after another: each measures or loads the whole machine.
for (const file of [soak, ...fuzz]) {
  console.log(`nightly: ${file.slice(root.length + 1)}`);
  await run(["test", "--timeout", TEST_TIMEOUT_MS, file]);
}
console.log("nightly: chaos");
const chaos = [join(root, "test", "chaos", "main.ts"), "--seconds", CHAOS_SECONDS];
await run(chaos);
console.log(failed === 0 ? "nightly: all passed" : `nightly: ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
