import type { Command } from "commander";
import { run } from "../app/run.ts";
import { findConfigFile, loadConfig } from "../config/load.ts";
import { ownArguments, ownCommand } from "./self.ts";

export function addRun(program: Command): void {
  program
    .command("run")
    .description("serve what a configuration file says")
    .option(
      "-c, --config <file>",
      "configuration file; else EVENKEEL_CONFIG, ./evenkeel.{yaml,yml,toml,json,ts} or /etc/evenkeel/evenkeel.yaml",
    )
    .option("--pid-file <file>", "write the process id here")
    .addHelpText(
      "after",
      `
Signals: SIGHUP reloads, SIGTERM and SIGINT stop gracefully (twice: at once), SIGQUIT stops at once,
SIGUSR1 reopens logs, SIGUSR2 hands over to a new process (an upgrade without a lost connection).
Exit codes: 0 stopped, 1 failed, 2 wrong usage, 78 wrong configuration.`,
    )
    .action(async (options: { config?: string; pidFile?: string }) => {
      const file = configFile(options.config ?? (program.opts() as { config?: string }).config);
      if (file === undefined) {
        process.exitCode = 2;
        return;
      }
      process.exitCode = await run({
        load: () => loadConfig(file, process.env),
        file,
        pidFile: options.pidFile,
        environment: process.env,
        command: ownCommand(),
        argv: ownArguments(),
      });
      process.exit();
    });
}

/** The file to use; undefined when there is none, which is said on standard error. */
export function configFile(named: string | undefined): string | undefined {
  const file = named ?? findConfigFile(process.cwd(), process.env);
  if (file === undefined) {
    console.error("evenkeel: there is no configuration file; name one with -c FILE, or write ./evenkeel.yaml:\n");
    console.error(
      'listeners:\n  web: { address: ":8080", pool: app }\npools:\n  app:\n    endpoints: [127.0.0.1:3001, 127.0.0.1:3002]',
    );
  }
  return file;
}
