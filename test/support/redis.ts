/** Real Redis servers for tests, alone or as a cluster, which can be stopped, paused and started again on their port. */
import { eventually, freePort, RunningProgram, temporaryFolder } from "./process.ts";

export function hasRedis(): boolean {
  return Bun.which("redis-server") !== null && Bun.which("redis-cli") !== null;
}

export class RedisServer {
  readonly port: number;
  readonly #arguments: readonly string[];
  #program: RunningProgram | undefined;

  constructor(port: number, extra: readonly string[] = []) {
    this.port = port;
    const folder = temporaryFolder();
    const settings = [
      "--bind",
      "127.0.0.1",
      "--port",
      String(port),
      "--dir",
      folder,
      "--save",
      "",
      "--appendonly",
      "no",
    ];
    this.#arguments = ["redis-server", ...settings, ...extra];
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<this> {
    const program = new RunningProgram(this.#arguments);
    this.#program = program;
    await eventually(
      async () => (await this.command("PING")).trim() === "PONG",
      () => `an answer of ${program.describe()}`,
    );
    return this;
  }

  async stop(): Promise<void> {
    this.#program?.kill();
    await this.#program?.ending();
  }

  /** It takes connections, for the kernel does that, and answers nothing. */
  pause(): void {
    this.#program?.signal("SIGSTOP");
  }

  resume(): void {
    this.#program?.signal("SIGCONT");
  }

  /** What redis-cli prints for a command. */
  async command(...words: readonly string[]): Promise<string> {
    const child = Bun.spawn(["redis-cli", "-p", String(this.port), ...words], { stderr: "ignore" });
    return await new Response(child.stdout).text();
  }
}

async function startNode(): Promise<{ node: RedisServer; busPort: string }> {
  const busPort = String(await freePort());
  const timing = ["--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"];
  const settings = ["--cluster-enabled", "yes", "--cluster-port", busPort, ...timing];
  return { node: await new RedisServer(await freePort(), settings).start(), busPort };
}

/** Three masters that share the keys. */
export async function startRedisCluster(): Promise<RedisServer[]> {
  const servers: RedisServer[] = [];
  for (let index = 0; index < 3; index++) servers.push((await startNode()).node);
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`);
  const create = new RunningProgram(["redis-cli", "--cluster", "create", ...addresses, "--cluster-yes"]);
  if ((await create.ending(60_000)) !== 0) throw new Error(create.describe());
  await eventually(async () => {
    const states = await Promise.all(servers.map((server) => server.command("CLUSTER", "INFO")));
    return states.every((state) => state.includes("cluster_state:ok"));
  }, "a cluster that serves");
  return servers;
}

/** One more node, which takes over when the master at `index` ends. */
export async function addReplica(cluster: readonly RedisServer[], index: number): Promise<RedisServer> {
  const [first, master] = [cluster[0] as RedisServer, cluster[index] as RedisServer];
  const { node: replica, busPort } = await startNode();
  await first.command("CLUSTER", "MEET", "127.0.0.1", String(replica.port), busPort);
  const id = (await master.command("CLUSTER", "MYID")).trim();
  await eventually(async () => (await replica.command("CLUSTER", "REPLICATE", id)).trim() === "OK", "a replica");
  await eventually(
    async () => (await replica.command("INFO", "replication")).includes("master_link_status:up"),
    "a replica that has the data",
  );
  // Before its master has told it which slots are its own, it would not stand for election.
  await eventually(
    async () => (await replica.command("CLUSTER", "INFO")).includes("cluster_state:ok"),
    "a replica that knows the cluster",
  );
  return replica;
}
