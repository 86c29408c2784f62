import type { Command } from "commander";
import { rehearse } from "../app/rehearse.ts";
import { loadConfig } from "../config/load.ts";
import { byPlace, formatProblems, type Problem } from "../config/problems.ts";
import { configFile } from "./run.ts";

export function addCheck(program: Command): void {
  program
    .command("check")
    .description("say everything that is wrong with a configuration file and the files it names")
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
  const { ok, problems, texts } = await findProblems(file);
  if (asJson) console.log(JSON.stringify({ ok, file, problems }, null, 2));
  else {
    if (problems.length > 0) console.error(formatProblems(problems, texts));
    const errors = problems.filter(({ severity }) => severity === "error").length;
    if (ok) console.log(`${file} is good`);
    else console.error(`\n${file}: ${errors} ${errors === 1 ? "error" : "errors"}`);
  }
  return ok ? 0 : 1;
}

/** In the text first; where that is right, in the files that it names and in what is built of them. */
async function findProblems(
  file: string,
): Promise<{ ok: boolean; problems: readonly Problem[]; texts: ReadonlyMap<string, string> }> {
  const loaded = await loadConfig(file, process.env);
  if (!loaded.ok) return loaded;
  const { config, warnings, texts, problemAt } = loaded;
  const found = (await rehearse(config)).map(({ severity, path, reason }) => problemAt(severity, path, reason));
  const ok = found.every(({ severity }) => severity === "warning");
  return { ok, problems: [...warnings, ...found].sort(byPlace), texts };
}
