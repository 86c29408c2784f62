import { type Command, Option } from "commander";
import { run } from "../app/run.ts";
import { algorithms } from "../balancing/registry.ts";
import { checkConfig } from "../config/load.ts";
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
      process.exitCode = await run({
        load: async () => checkConfig(source, {}),
        file: undefined,
        pidFile: undefined,
        environment: process.env,
        command: ownCommand(),
        argv: ownArguments(),
      });
      process.exit();
    });
}

function proxyConfig(endpoints: readonly string[], options: ProxyOptions): unknown {
  return {
    workers: options.workers === "auto" ? "auto" : Number(options.workers),
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
