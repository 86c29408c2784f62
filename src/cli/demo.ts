/** `npm start`: three small endpoints, a balancer in front of them, and something to try for everyone. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { type Running, run } from "../app/run.ts";
import { loadConfig } from "../config/load.ts";
import { ownArguments, ownCommand, TYPED_COMMAND } from "./self.ts";

const USUAL_ADMIN_PORT = 9_900;
const COLOURS = ["red", "green", "blue"] as const;

export function addDemo(program: Command): void {
  program
    .command("demo")
    .description("try it: three endpoints and a balancer in front of them")
    .option("--listen <address>", "where the balancer listens", "127.0.0.1:8080")
    .option("--admin <address>", "where /metrics and the admin API are served", `127.0.0.1:${USUAL_ADMIN_PORT}`)
    .action(async (options: { listen: string; admin: string }) => {
      process.exitCode = await demo(options.listen, options.admin);
      process.exit();
    });
}

async function demo(listen: string, admin: string): Promise<number> {
  const endpoints = COLOURS.map(startEndpoint);
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-demo-"));
  const file = join(folder, "evenkeel.yaml");
  const ports = endpoints.map(({ port }) => port);
  writeFileSync(file, demoConfig(listen, admin, ports));
  try {
    return await run({
      load: () => loadConfig(file, {}),
      file,
      pidFile: undefined,
      environment: process.env,
      command: ownCommand(),
      argv: ownArguments(),
      onReady: (running) => console.log(welcome(running, file, ports)),
    });
  } finally {
    for (const endpoint of endpoints) endpoint.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An endpoint that says its colour, and can be told to fail its health checks and to recover. */
function startEndpoint(colour: string): { port: number; stop(): void } {
  let isWell = true;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/stop" || pathname === "/start") {
        isWell = pathname === "/start";
        return new Response(`${colour} is ${isWell ? "well" : "stopped"}\n`);
      }
      return isWell ? new Response(`hello from ${colour}\n`) : new Response(`${colour} is stopped\n`, { status: 503 });
    },
  });
  return { port: server.port ?? 0, stop: () => void server.stop(true) };
}

function demoConfig(listen: string, admin: string, ports: readonly number[]): string {
  const endpoints = ports.map((port) => `      - { address: "127.0.0.1:${port}", weight: 1 }`).join("\n");
  return `# The demo's configuration. Change it and save: it is reloaded at once.
workers: 0
watch: true
listeners:
  web: { address: "${listen}", pool: colours }
pools:
  colours:
    balance: weighted-round-robin
    endpoints:
${endpoints}
    health: { type: http, path: /, interval: 1s }
admin: { address: "${admin}" }
accessLog: false
`;
}

function welcome(running: Running, file: string, ports: readonly number[]): string {
  const url = `http://127.0.0.1:${running.port("web")}`;
  const where = running.adminPort === USUAL_ADMIN_PORT ? "" : ` --admin 127.0.0.1:${running.adminPort ?? 0}`;
  return `
  evenkeel balances ${url} over three endpoints: red, green and blue.

  ask a few times      for i in 1 2 3 4 5 6; do curl -s ${url}/; done
  stop an endpoint     curl -s http://127.0.0.1:${ports[1]}/stop      (green; after three failed checks it gets no more)
  bring it back        curl -s http://127.0.0.1:${ports[1]}/start
  see the endpoints    ${TYPED_COMMAND} status${where}
  take one out         ${TYPED_COMMAND} drain colours 127.0.0.1:${ports[0]}${where}      (and \`enable\` it again)
  change a weight      sed -i '0,/weight: 1/s//weight: 4/' ${file}
  break the file       echo 'pols: {}' >> ${file}      (and read what it says)
  see the metrics      curl -s http://127.0.0.1:${running.adminPort ?? 0}/metrics
  stop                 Ctrl-C
`;
}
