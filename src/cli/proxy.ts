import { type Command, Option } from "commander";
import { run } from "../app/run.ts";
import { algorithms } from "../balancing/registry.ts";
import { checkConfig } from "../config/load.ts";
import type { Problem } from "../config/problems.ts";
import { valueSource } from "../config/source.ts";
import { ownArguments, ownCommand } from "./self.ts";

interface ProxyOptions {
  readonly listen: string;
  readonly balance: string;
  readonly healthPath?: string;
  readonly admin?: string;
  readonly workers: string;
  readonly accessLog: boolean;
}

export function addProxy(program: Command): void {
  program
    .command("proxy <endpoints...>")
    .description("balance over some endpoints, without a configuration file")
    .option("--listen <address>", "where to listen", ":8080")
    .addOption(
      new Option("--balance <algorithm>", "how to choose")
        .choices(Object.keys(algorithms))
        .default("power-of-two-choices"),
    )
    .option("--health-path <path>", "check this path instead of only connecting")
    .option("--admin <address>", "where /metrics, /healthz and /readyz are served")
    .option("--workers <count>", "worker processes; 0 for everything in one", "0")
    .option("--no-access-log", "do not log requests")
    .addHelpText("after", "\nExample:\n  evenkeel proxy --listen :8080 http://127.0.0.1:3001 http://127.0.0.1:3002")
    .action(async (endpoints: string[], options: ProxyOptions) => {
      const source = valueSource("command line", proxyConfig(endpoints, options));
      const checked = checkConfig(source, {});
      if (!checked.ok) {
        program.error(checked.problems.map((problem) => `error: ${complaint(problem, endpoints)}`).join("\n"));
      }
      process.exitCode = await run({
        load: async () => checked,
        file: undefined,
        pidFile: undefined,
        environment: process.env,
        command: ownCommand(),
        argv: ownArguments(),
      });
      process.exit();
    });
}

/** The place in the configuration that an argument ends up in. */
const PLACES: readonly (readonly [place: string, argument: string])[] = [
  ["workers", "--workers"],
  ["listeners.proxy.address", "--listen"],
  ["admin.address", "--admin"],
  ["pools.endpoints.health.path", "--health-path"],
  ["pools.endpoints.balance", "--balance"],
];

/** As it is told to who has never seen a configuration file. */
function complaint({ path, message, hint }: Problem, endpoints: readonly string[]): string {
  const index = /^pools\.endpoints\.endpoints\[(\d+)\]/.exec(path)?.[1];
  const argument = index === undefined ? PLACES.find(([place]) => place === path)?.[1] : endpoints[Number(index)];
  return `${argument ?? path}: ${message}${hint === undefined ? "" : `; ${hint}`}`;
}

/** A number where it is one; anything else is left for the schema to refuse. */
function workerCount(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

function proxyConfig(endpoints: readonly string[], options: ProxyOptions): unknown {
  return {
    workers: workerCount(options.workers),
    listeners: { proxy: { address: options.listen, pool: "endpoints" } },
    pools: {
      endpoints: {
        endpoints,
        balance: options.balance,
        ...(options.healthPath === undefined ? {} : { health: { type: "http", path: options.healthPath } }),
      },
    },
    admin: options.admin === undefined ? false : { address: options.admin },
    accessLog: options.accessLog
      ? { format: '{client} "{method} {target}" {status} {endpoint} {duration}ms {reason}' }
      : false,
  };
}
