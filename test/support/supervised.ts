/** A supervisor in this process, with real endpoints, real checks and the admin API: everything but worker processes. */
import { AdminBackend } from "../../src/app/admin-backend.ts";
import { AdminControl } from "../../src/app/admin-control.ts";
import { Supervisor } from "../../src/app/supervisor.ts";
import { systemClock, systemTimers } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { type Config, type ConfigInput, configSchema } from "../../src/config/schema.ts";
import { silentLog } from "../../src/observability/log.ts";

export interface Supervised {
  readonly supervisor: Supervisor;
  /** Of its listener `web`. */
  readonly port: number;
  readonly adminPort: number;
  /** Asks the API; a value as body is sent as JSON. */
  api(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  reload(input: ConfigInput): Promise<void>;
  stop(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: what the API answers is looked into by the test.
  readonly body: any;
}

export async function startSupervised(input: ConfigInput): Promise<Supervised> {
  const supervisor = new Supervisor({
    workers: 0,
    workerCommand: [],
    clock: systemClock,
    timers: systemTimers,
    random: seededRandom(1),
    log: silentLog,
    path: "/usr/bin:/bin",
  });
  const admin = new AdminControl({
    metrics: () => "",
    notReady: () => "",
    poolsWithoutEndpoint: () => [],
    api: new AdminBackend(supervisor, systemClock, systemTimers, { outside: () => new Map(), whyNoChanges: () => "" }),
  });
  const apply = async (config: Config): Promise<void> => {
    await supervisor.apply(config);
    admin.prepare(config.admin, false).commit();
  };
  const parse = (text: ConfigInput): Config =>
    configSchema.parse({ accessLog: false, admin: { address: "127.0.0.1:0" }, ...text });
  try {
    await apply(parse(input));
  } catch (error) {
    await supervisor.close();
    throw error;
  }
  const adminPort = admin.port ?? 0;
  return {
    supervisor,
    port: supervisor.port("web"),
    adminPort,
    async api(method, path, body, headers = {}) {
      const response = await fetch(`http://127.0.0.1:${adminPort}/api/${path}`, {
        method,
        headers: { "Content-Type": "application/json", ...headers },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const type = response.headers.get("content-type") ?? "";
      return { status: response.status, type, body: await response.json() };
    },
    reload: (next) => apply(parse(next)),
    async stop() {
      admin.stop();
      await supervisor.close();
    },
  };
}
