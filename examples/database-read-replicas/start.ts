/** Starts a Redis primary, two replicas and evenkeel in front of them, and stops them all on Ctrl-C. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Processes, type StartOptions, stopOnSignal } from "../processes.ts";
import { RedisClient } from "./redis-client.ts";

export type Server = "primary" | "replica-1" | "replica-2";

export interface RunningExample {
  readonly writesPort: number;
  readonly readsPort: number;
  readonly ports: Readonly<Record<Server, number>>;
  /** As if its machine had lost its power. */
  kill(server: Server): Promise<void>;
  start(server: Server): Promise<void>;
  stop(): Promise<void>;
}

/** Undefined when Redis is not installed. */
export const redisServer = Bun.which("redis-server") ?? undefined;

export async function startExample(options: StartOptions): Promise<RunningExample> {
  const processes = new Processes(import.meta.dir, options);
  const ports = {
    primary: await processes.port(6410),
    "replica-1": await processes.port(6411),
    "replica-2": await processes.port(6412),
  };
  const [writesPort, readsPort] = [await processes.port(6400), await processes.port(6401)];
  // A replica writes down what its primary sends it, whatever it was told of saving.
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-replicas-"));
  const launch = (server: Server): void => {
    const role = server === "primary" ? [] : ["--replicaof", "127.0.0.1", String(ports.primary)];
    const settings = [
      "--dir",
      folder,
      "--dbfilename",
      `${server}.rdb`,
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--appendonly",
      "no",
      "--repl-diskless-sync-delay",
      "0",
    ];
    processes.launch(server, [redisServer as string, "--port", String(ports[server]), ...settings, ...role]);
  };
  for (const server of ["primary", "replica-1", "replica-2"] as const) launch(server);
  await processes.until(async () => (await roleOf(ports["replica-2"])) === "connected", "the second replica");
  await processes.until(async () => (await roleOf(ports["replica-1"])) === "connected", "the first replica");
  processes.launchEvenkeel({
    WRITES_PORT: writesPort,
    READS_PORT: readsPort,
    PRIMARY_PORT: ports.primary,
    REPLICA_1_PORT: ports["replica-1"],
    REPLICA_2_PORT: ports["replica-2"],
    METRICS_PORT: await processes.port(9900),
  });
  await processes.until(async () => (await ask(readsPort, "PING")) === "PONG", "reads");
  await processes.until(async () => (await ask(writesPort, "PING")) === "PONG", "writes");
  return {
    writesPort,
    readsPort,
    ports,
    kill: (server) => processes.end(server, "SIGKILL"),
    async start(server) {
      launch(server);
      await processes.until(async () => (await ask(ports[server], "PING")) === "PONG", server);
    },
    async stop() {
      await processes.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ask(port: number, ...command: readonly string[]): Promise<string> {
  const client = await RedisClient.connect(port);
  return client.ask(...command).finally(() => client.close());
}

/** Whether a replica has its primary's data. */
async function roleOf(port: number): Promise<string> {
  const info = await ask(port, "INFO", "replication");
  return /^master_link_status:up/m.test(info) ? "connected" : "waiting";
}

if (import.meta.main) {
  if (redisServer === undefined) throw new Error("redis-server is not installed");
  const example = await startExample({ ports: "usual", quiet: true });
  console.log(
    `\nWrites are at port ${example.writesPort}, reads at port ${example.readsPort}. README.md says what to try.\n`,
  );
  stopOnSignal(example.stop);
}
