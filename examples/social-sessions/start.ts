/** Starts Redis, the instances and evenkeel, and stops them all on Ctrl-C. */
import { join } from "node:path";
import { Processes, type StartOptions, stopOnSignal } from "../processes.ts";

/** Instances and the environment variable that evenkeel.yaml has their port from. */
const INSTANCES: Readonly<Record<string, { readonly portVariable: string; readonly port: number }>> = {
  "sticky-1": { portVariable: "STICKY_1_PORT", port: 4001 },
  "sticky-2": { portVariable: "STICKY_2_PORT", port: 4002 },
  "shared-1": { portVariable: "SHARED_1_PORT", port: 4003 },
  "shared-2": { portVariable: "SHARED_2_PORT", port: 4004 },
};

export interface RunningExample {
  readonly frontPort: number;
  /** Ends one of `redis`, `evenkeel` and the instances, as a crash would. */
  crash(name: string): Promise<void>;
  /** Starts it again; resolves when evenkeel serves. */
  restart(name: string): Promise<void>;
  stop(): Promise<void>;
}

export async function startExample(options: StartOptions): Promise<RunningExample> {
  const processes = new Processes(import.meta.dir, options);
  const launches = new Map<string, () => void>();
  const redisPort = await processes.port(6390);
  const redis = ["redis-server", "--bind", "127.0.0.1", "--port", String(redisPort), "--save", ""];
  launches.set("redis", () => processes.launch("redis", redis));
  const variables: Record<string, number> = {};
  for (const [name, { portVariable, port: usual }] of Object.entries(INSTANCES)) {
    const port = await processes.port(usual);
    variables[portVariable] = port;
    const store = name.startsWith("shared") ? { REDIS_URL: `redis://127.0.0.1:${redisPort}` } : {};
    const command = [process.execPath, join("apps", "social.ts")];
    launches.set(name, () => processes.launch(name, command, { NAME: name, PORT: String(port), ...store }));
  }
  const [frontPort, metricsPort] = [await processes.port(8080), await processes.port(9900)];
  launches.set("evenkeel", () =>
    processes.launchEvenkeel({ ...variables, FRONT_PORT: frontPort, METRICS_PORT: metricsPort }),
  );
  for (const launch of launches.values()) launch();
  await processes.until(() => bothPoolsServe(frontPort), "evenkeel");
  return {
    frontPort,
    crash: (name) => processes.end(name, "SIGKILL"),
    async restart(name) {
      launches.get(name)?.();
      await processes.until(() => bothPoolsServe(frontPort), "evenkeel");
    },
    stop: () => processes.stop(),
  };
}

/** Whether both pools have an endpoint that passed its health check. */
async function bothPoolsServe(port: number): Promise<boolean> {
  const answers = ["sticky", "shared"].map((pool) => fetch(`http://127.0.0.1:${port}/${pool}/healthz`));
  return (await Promise.all(answers)).every(({ ok }) => ok);
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
  stopOnSignal(example.stop);
}
