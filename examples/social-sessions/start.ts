/** Starts Redis, the instances and the balancer, and stops them all on Ctrl-C. */
import { createServer } from "node:net";
import { join } from "node:path";

/** Instances and the environment variable that evenkeel.yaml has their port from. */
const INSTANCES: Readonly<Record<string, { readonly portVariable: string; readonly port: number }>> = {
  "sticky-1": { portVariable: "STICKY_1_PORT", port: 4001 },
  "sticky-2": { portVariable: "STICKY_2_PORT", port: 4002 },
  "shared-1": { portVariable: "SHARED_1_PORT", port: 4003 },
  "shared-2": { portVariable: "SHARED_2_PORT", port: 4004 },
};
const READY_WITHIN_MS = 20_000;

export interface RunningExample {
  readonly frontPort: number;
  /** Ends one of `redis`, `balancer` and the instances, as a crash would. */
  crash(name: string): Promise<void>;
  /** Starts it again; resolves when the balancer serves. */
  restart(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** `ports: "free"` takes whatever is free instead of the ports that evenkeel.yaml names. */
export async function startExample(options: { ports: "usual" | "free"; quiet?: boolean }): Promise<RunningExample> {
  const portOf = options.ports === "usual" ? async (usual: number) => usual : freePort;
  const output = options.quiet === true ? "ignore" : "inherit";
  const commands = new Map<string, { command: readonly string[]; environment: Record<string, string> }>();
  const children = new Map<string, Bun.Subprocess>();
  const launch = (name: string): void => {
    const { command, environment } = commands.get(name) ?? { command: [], environment: {} };
    const env = { ...process.env, ...environment };
    children.set(name, Bun.spawn([...command], { cwd: import.meta.dir, env, stdio: ["ignore", output, output] }));
  };
  const crash = async (name: string): Promise<void> => {
    children.get(name)?.kill("SIGKILL");
    await children.get(name)?.exited;
  };
  const stop = async (): Promise<void> => {
    for (const child of [...children.values()].reverse()) {
      child.kill("SIGTERM");
      await child.exited;
    }
  };

  const redisPort = await portOf(6390);
  const redisCommand = ["redis-server", "--bind", "127.0.0.1", "--port", String(redisPort), "--save", ""];
  commands.set("redis", { command: redisCommand, environment: {} });
  const variables: Record<string, string> = {};
  for (const [name, { portVariable, port: usual }] of Object.entries(INSTANCES)) {
    const port = String(await portOf(usual));
    variables[portVariable] = port;
    const store = name.startsWith("shared") ? { REDIS_URL: `redis://127.0.0.1:${redisPort}` } : {};
    const command = [process.execPath, join("apps", "social.ts")];
    commands.set(name, { command, environment: { NAME: name, PORT: port, ...store } });
  }
  const frontPort = await portOf(8080);
  Object.assign(variables, { FRONT_PORT: String(frontPort), METRICS_PORT: String(await portOf(9900)) });
  const balancer = [process.execPath, join("..", "..", "src", "cli", "main.ts"), "run", "-c", "evenkeel.yaml"];
  commands.set("balancer", { command: balancer, environment: variables });

  for (const name of commands.keys()) launch(name);
  const restart = async (name: string): Promise<void> => {
    launch(name);
    await serving(frontPort, children.get("balancer"));
  };
  try {
    await serving(frontPort, children.get("balancer"));
  } catch (error) {
    await stop();
    throw error;
  }
  return { frontPort, crash, restart, stop };
}

/** Until both pools have an endpoint that passed its health check. Throws when that takes too long. */
async function serving(port: number, balancer: Bun.Subprocess | undefined): Promise<void> {
  const until = performance.now() + READY_WITHIN_MS;
  while (performance.now() < until && balancer?.exitCode === null) {
    const answers = ["sticky", "shared"].map((pool) => fetch(`http://127.0.0.1:${port}/${pool}/healthz`));
    const results = await Promise.allSettled(answers);
    if (results.every((result) => result.status === "fulfilled" && result.value.ok)) return;
    await Bun.sleep(50);
  }
  throw new Error(`the balancer did not begin to serve on port ${port}`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

if (import.meta.main) {
  if (Bun.which("redis-server") === null) {
    console.error("This example needs redis-server: apt-get install redis-server");
    process.exit(1);
  }
  const example = await startExample({ ports: "usual" });
  console.log(`
The network is at http://127.0.0.1:${example.frontPort}/sticky and /shared. README.md says what to try. Ctrl-C ends it all.
`);
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      // A terminal and whoever started this may both hand on the same Ctrl-C.
      if (stopping) return;
      stopping = true;
      void example.stop().then(() => process.exit(0));
    });
  }
}
