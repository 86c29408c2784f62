/** Starts the services and the gateway, and stops them all on Ctrl-C. */
import { join } from "node:path";
import { Processes, type StartOptions, stopOnSignal } from "../processes.ts";

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

export interface RunningExample {
  readonly gatewayPort: number;
  readonly metricsPort: number;
  /** Port of a service, such as `api-1`. */
  servicePort(name: string): number;
  stopService(name: string): Promise<void>;
  stop(): Promise<void>;
}

export async function startExample(options: StartOptions): Promise<RunningExample> {
  const processes = new Processes(import.meta.dir, options);
  const ports = new Map<string, number>();
  const variables: Record<string, number> = {};
  for (const [name, service] of Object.entries(SERVICES)) {
    const port = await processes.port(service.port);
    ports.set(name, port);
    variables[service.portVariable] = port;
    const command = [process.execPath, join("apps", service.file)];
    processes.launch(name, command, { ...service.environment, PORT: String(port) });
  }
  const [gatewayPort, metricsPort] = [await processes.port(8080), await processes.port(9900)];
  processes.launchEvenkeel({ ...variables, GATEWAY_PORT: gatewayPort, METRICS_PORT: metricsPort });
  await processes.until(() => everyPoolServes(gatewayPort), "the gateway");
  return {
    gatewayPort,
    metricsPort,
    servicePort: (name) => ports.get(name) ?? 0,
    stopService: (name) => processes.end(name),
    stop: () => processes.stop(),
  };
}

/** Whether every pool has an endpoint that passed its health check. */
async function everyPoolServes(port: number): Promise<boolean> {
  const requests: [path: string, headers: Record<string, string>][] = [
    ["/api/orders", {}],
    ["/static/hello.txt", {}],
    ["/admin", {}],
    ["/", { "User-Agent": "Mobi" }],
    ["/", { Cookie: "canary=always" }],
  ];
  const answers = requests.map(([path, headers]) => fetch(`http://127.0.0.1:${port}${path}`, { headers }));
  return (await Promise.all(answers)).every(({ ok }) => ok);
}

if (import.meta.main) {
  const example = await startExample({ ports: "usual" });
  console.log(`
The gateway is at http://127.0.0.1:${example.gatewayPort}; its metrics are at http://127.0.0.1:${example.metricsPort}/metrics.
README.md has a line to try for every rule. Ctrl-C ends it all.
`);
  stopOnSignal(example.stop);
}
