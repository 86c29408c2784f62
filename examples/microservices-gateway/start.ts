/** Starts the services and the gateway, and stops them all on Ctrl-C. */
import { createServer } from "node:net";
import { join } from "node:path";

interface Service {
  readonly file: string;
  readonly portVariable: string;
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
}

const SERVICES: Readonly<Record<string, Service>> = {
  "api-1": { file: "api.ts", portVariable: "API_1_PORT", port: 4001, environment: { NAME: "api-1" } },
  "api-2": { file: "api.ts", portVariable: "API_2_PORT", port: 4002, environment: { NAME: "api-2" } },
  static: { file: "static.ts", portVariable: "STATIC_PORT", port: 4003, environment: {} },
  admin: { file: "admin.ts", portVariable: "ADMIN_PORT", port: 4004, environment: {} },
  mobile: { file: "web.ts", portVariable: "MOBILE_PORT", port: 4005, environment: { EDITION: "mobile" } },
  web: { file: "web.ts", portVariable: "WEB_PORT", port: 4006, environment: { EDITION: "stable" } },
  "web-canary": { file: "web.ts", portVariable: "WEB_CANARY_PORT", port: 4007, environment: { EDITION: "canary" } },
};
const READY_WITHIN_MS = 20_000;

export interface RunningExample {
  readonly gatewayPort: number;
  readonly metricsPort: number;
  /** Port of a service, such as `api-1`. */
  servicePort(name: string): number;
  stopService(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** `ports: "free"` takes whatever is free instead of the ports that evenkeel.yaml names. */
export async function startExample(options: { ports: "usual" | "free"; quiet?: boolean }): Promise<RunningExample> {
  const portOf = options.ports === "usual" ? async (usual: number) => usual : freePort;
  const output = options.quiet === true ? "ignore" : "inherit";
  const ports = new Map<string, number>();
  const children = new Map<string, Bun.Subprocess>();
  const variables: Record<string, string> = {};
  const launch = (name: string, args: readonly string[], environment: Record<string, string>): void => {
    const child = Bun.spawn([process.execPath, ...args], {
      cwd: import.meta.dir,
      env: { ...process.env, ...environment },
      stdio: ["ignore", output, output],
    });
    children.set(name, child);
  };
  const stop = async (): Promise<void> => {
    // The gateway first: it lets its clients finish while the services are still there.
    for (const name of [...children.keys()].reverse()) await end(children.get(name));
  };

  for (const [name, service] of Object.entries(SERVICES)) {
    const port = await portOf(service.port);
    ports.set(name, port);
    variables[service.portVariable] = String(port);
    launch(name, [join("apps", service.file)], { ...service.environment, PORT: String(port) });
  }
  const [gatewayPort, metricsPort] = [await portOf(8080), await portOf(9900)];
  Object.assign(variables, { GATEWAY_PORT: String(gatewayPort), METRICS_PORT: String(metricsPort) });
  launch("gateway", [join("..", "..", "src", "cli", "main.ts"), "run", "-c", "evenkeel.yaml"], variables);
  try {
    await serving(gatewayPort, children.get("gateway"));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    gatewayPort,
    metricsPort,
    servicePort: (name) => ports.get(name) ?? 0,
    stopService: (name) => end(children.get(name)),
    stop,
  };
}

/** Until every pool has an endpoint that passed its health check. Throws when that takes too long. */
async function serving(port: number, gateway: Bun.Subprocess | undefined): Promise<void> {
  const requests: [path: string, headers: Record<string, string>][] = [
    ["/api/orders", {}],
    ["/static/hello.txt", {}],
    ["/admin", {}],
    ["/", { "User-Agent": "Mobi" }],
    ["/", { Cookie: "canary=always" }],
  ];
  const until = performance.now() + READY_WITHIN_MS;
  while (performance.now() < until && gateway?.exitCode === null) {
    const answers = requests.map(([path, headers]) => fetch(`http://127.0.0.1:${port}${path}`, { headers }));
    const results = await Promise.allSettled(answers);
    if (results.every((result) => result.status === "fulfilled" && result.value.ok)) return;
    await Bun.sleep(50);
  }
  throw new Error(`the gateway did not begin to serve on port ${port}`);
}

async function end(child: Bun.Subprocess | undefined): Promise<void> {
  child?.kill("SIGTERM");
  await child?.exited;
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
  const example = await startExample({ ports: "usual" });
  console.log(`
The gateway is at http://127.0.0.1:${example.gatewayPort}; its metrics are at http://127.0.0.1:${example.metricsPort}/metrics.
README.md has a line to try for every rule. Ctrl-C ends it all.
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
