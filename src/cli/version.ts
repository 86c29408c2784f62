import type { Command } from "commander";
import { VERSION } from "../app/version.ts";

export function addVersion(program: Command): void {
  program
    .command("version")
    .description("print the version of evenkeel and of its runtime")
    .option("--json", "print it as JSON")
    .action((options: { json?: boolean }) => {
      const version = { evenkeel: VERSION, bun: Bun.version, platform: `${process.platform}-${process.arch}` };
      console.log(
        options.json === true
          ? JSON.stringify(version)
          : `evenkeel ${version.evenkeel} (bun ${version.bun}, ${version.platform})`,
      );
    });
}
