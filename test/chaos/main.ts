/**
 * `npm run chaos`: everything goes wrong at once for a minute, and must still add up. `--seconds 600`, `--seed 7` for a run as
 * one before.
 */
import { parseArgs } from "node:util";
import { endAll } from "../support/process.ts";
import { describeRun, runChaos } from "./run.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    verbose: { type: "boolean", default: false },
  },
});
const options = { seconds: Number(values.seconds), seed: Number(values.seed) };
if (!(options.seconds >= 1 && options.seconds <= 86_400) || !Number.isInteger(options.seed)) {
  console.error("expected --seconds from 1 to 86400 and --seed as a whole number, such as --seconds 60 --seed 1");
  process.exit(2);
}
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => void endAll().finally(() => process.exit(1)));
console.log(`chaos: ${options.seconds} s, seed ${options.seed}`);
try {
  const report = await runChaos(options);
  console.log(report.summary);
  if (report.violations.length > 0 || values.verbose) console.log(describeRun(options, report));
  console.log(
    report.violations.length === 0 ? "chaos: everything adds up" : `chaos: FAILED; again with --seed ${options.seed}`,
  );
  process.exitCode = report.violations.length === 0 ? 0 : 1;
} finally {
  await endAll();
}
