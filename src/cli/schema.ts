import type { Command } from "commander";
import { configJsonSchema } from "../config/known-keys.ts";

export function addSchema(program: Command): void {
  program
    .command("schema")
    .description("print the JSON Schema of the configuration, for editors")
    .addHelpText(
      "after",
      "\nevenkeel schema > evenkeel.schema.json, and as the first line of evenkeel.yaml:\n# yaml-language-server: $schema=evenkeel.schema.json",
    )
    .action(() => {
      console.log(JSON.stringify(configJsonSchema(), null, 2));
    });
}
