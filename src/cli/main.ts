/** The command line. One file per command; this one only puts them together. */
import { Command, CommanderError } from "commander";
import { VERSION } from "../app/version.ts";
import { suggest } from "../base/suggest.ts";
import { addCheck, runCheck } from "./check.ts";
import { addCompletion, commandsOf } from "./completion.ts";
import { addDemo } from "./demo.ts";
import { addEndpointCommands } from "./endpoint-commands.ts";
import { addEvents } from "./events.ts";
import { addProxy } from "./proxy.ts";
import { addRoll } from "./roll.ts";
import { addRun } from "./run.ts";
import { addSchema } from "./schema.ts";
import { addStatus } from "./status.ts";
import { addVersion } from "./version.ts";
import { addWorker } from "./worker.ts";

const program = new Command("evenkeel")
  .description("A load balancer: TCP, UDP and HTTP balancing, health checks and metrics in one program.")
  .version(VERSION, "-V, --version", "print the version")
  .option("-t", "check the configuration and stop (as `evenkeel check`)")
  .option("-c, --config <file>", "configuration file")
  .showHelpAfterError("(evenkeel help lists the commands)")
  .exitOverride()
  .addHelpText(
    "after",
    `
Try it:
  evenkeel demo                                            three endpoints and a balancer
  evenkeel proxy --listen :8080 http://127.0.0.1:3001      balance without a configuration file
  evenkeel run -c evenkeel.yaml                            the real thing`,
  );

addRun(program);
addCheck(program);
addProxy(program);
addDemo(program);
addStatus(program);
addEndpointCommands(program);
addRoll(program);
addEvents(program);
addSchema(program);
addVersion(program);
addCompletion(program);
addWorker(program);
program.allowExcessArguments().action(async (options: { t?: boolean; config?: string }) => {
  const [word] = program.args;
  if (word !== undefined) program.error(`error: unknown command ${word}${nearestCommand(word)}`);
  else if (options.t === true) process.exitCode = await runCheck(options.config, false);
  else program.help({ error: true });
});

function nearestCommand(word: string): string {
  const near = suggest(
    word,
    commandsOf(program).map(({ name }) => name),
  );
  return near === undefined ? "" : `; did you mean ${near}?`;
}

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // Help and version that were asked for are no mistake; everything else the parser throws is wrong usage.
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
