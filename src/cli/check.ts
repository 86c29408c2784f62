import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { formatProblems } from "../config/problems.ts";
import { configFile } from "./run.ts";

export function addCheck(program: Command): void {
  program
    .command("check")
    .description("say everything that is wrong with a configuration file")
    .option("-c, --config <file>", "configuration file; found as for run when not named")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExit codes: 0 good, 1 wrong. Warnings are printed and do not make it wrong.")
    .action(async (options: { config?: string; json?: boolean }) => {
      process.exitCode = await runCheck(
        options.config ?? (program.opts() as { config?: string }).config,
        options.json === true,
      );
    });
}

export async function runCheck(named: string | undefined, asJson: boolean): Promise<number> {
  const file = configFile(named);
  if (file === undefined) return 2;
  const result = await loadConfig(file, process.env);
  const problems = result.ok ? result.warnings : result.problems;
  if (asJson) console.log(JSON.stringify({ ok: result.ok, file, problems }, null, 2));
  else {
    if (problems.length > 0) console.error(formatProblems(problems, result.texts));
    const errors = problems.filter(({ severity }) => severity === "error").length;
    if (result.ok) console.log(`${file} is good`);
    else console.error(`\n${file}: ${errors} ${errors === 1 ? "error" : "errors"}`);
  }
  return result.ok ? 0 : 1;
}
