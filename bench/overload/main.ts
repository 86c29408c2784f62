/**
 * Twice as many requests as four endpoints can work on, behind evenkeel, nginx and HAProxy: what is still served, how fast,
 * and what is refused. `npm run bench:overload`; `--only haproxy`, `--seconds 15`, `--times 2`.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startControlledEndpoints } from "../../test/support/controlled-endpoint.ts";
import { measureCapacity, type Outcome, percentile, steadyLoad } from "../../test/support/fixed-rate-load.ts";
import { endAll, freePort, RunningProgram, temporaryFolder } from "../../test/support/process.ts";
import { printTable } from "../experiments/table.ts";
import { type Scene, startHaproxy, startNginx, untilServing } from "../faults/balancers.ts";

const ENDPOINTS = 4;
/** Requests that an endpoint works on at a time, and for how long. */
const AT_A_TIME = 5;
const SERVICE_MS = 40;
const QUEUE_TIMEOUT_MS = 1_000;
/** What waits longer counts as failed. */
const PATIENCE_MS = 8_000;
/** Left out at the beginning: queues fill. */
const SETTLE_MS = 2_000;
const RETRY_AFTER_S = 5;

interface Setting {
  readonly name: string;
  readonly queue: number;
  start(scene: Scene): RunningProgram;
}

const MAIN = join(import.meta.dir, "..", "..", "src", "cli", "main.ts");

function evenkeel(queue: number, codel: boolean): Setting {
  return {
    name: codel ? "evenkeel, codel" : "evenkeel",
    queue,
    start({ folder, port, adminPort, endpoints }) {
      const config = {
        workers: 1,
        listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
        pools: {
          app: {
            endpoints: endpoints.map((endpoint) => ({ address: `127.0.0.1:${endpoint}`, maxConnections: AT_A_TIME })),
            balance: "least-connections",
            queue: { size: queue, timeout: `${QUEUE_TIMEOUT_MS}ms`, codel: codel ? {} : false },
          },
        },
        admin: { address: `127.0.0.1:${adminPort}` },
        accessLog: false,
      };
      const file = join(folder, "evenkeel.json");
      writeFileSync(file, JSON.stringify(config));
      return new RunningProgram([process.execPath, MAIN, "run", "-c", file]);
    },
  };
}

function haproxy(queue: number): Setting {
  return {
    name: "haproxy",
    queue,
    start({ folder, port, endpoints }) {
      const servers = endpoints.map(
        (endpoint, index) => `  server s${index} 127.0.0.1:${endpoint} maxconn ${AT_A_TIME}`,
      );
      return startHaproxy(
        folder,
        `  timeout connect 3s
  timeout server 30s
  timeout queue ${QUEUE_TIMEOUT_MS}ms
frontend web
  bind 127.0.0.1:${port} backlog 4096
  http-request return status 503 hdr Retry-After ${RETRY_AFTER_S} if { queue(app) ge ${queue} }
  default_backend app
backend app
  balance leastconn
${servers.join("\n")}
`,
      );
    },
  };
}

/** The open version has no queue: what finds every endpoint full is refused at once. */
const nginx: Setting = {
  name: "nginx",
  queue: 0,
  start({ folder, port, endpoints }) {
    const servers = endpoints.map((endpoint) => `server 127.0.0.1:${endpoint} max_conns=${AT_A_TIME} max_fails=0;`);
    const upstream = `upstream app { least_conn; ${servers.join(" ")} keepalive 64; }`;
    const server = `server { listen 127.0.0.1:${port} backlog=4096; location / { proxy_pass http://app; } }`;
    return startNginx(folder, `${upstream}\n ${server}`);
  },
};

const SETTINGS = [250, 2_000].flatMap((queue) => [evenkeel(queue, false), evenkeel(queue, true), haproxy(queue)]);

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "evenkeel,nginx,haproxy" },
    seconds: { type: "string", default: "15" },
    times: { type: "string", default: "2" },
  },
});
const [seconds, times] = [Number(values.seconds), Number(values.times)];
if (!(seconds >= 4 && seconds <= 600 && times > 0 && times <= 5))
  throw new Error("expected --seconds from 4 to 600 and --times from above 0 to 5, such as --seconds 15 --times 2");

async function measure(setting: Setting): Promise<string[]> {
  const limits = [String(AT_A_TIME), String(SERVICE_MS)];
  const endpoints = await startControlledEndpoints(ENDPOINTS, "support/limited-endpoint.ts", () => limits);
  const ports = endpoints.map((endpoint) => endpoint.port);
  const port = await freePort();
  const program = setting.start({ folder: temporaryFolder(), port, adminPort: await freePort(), endpoints: ports });
  try {
    await untilServing(program, port);
    const capacity = await measureCapacity(ports, AT_A_TIME);
    const load = { port, requestsPerSecond: times * capacity, seconds, patienceMs: PATIENCE_MS };
    const outcomes = await steadyLoad(load);
    // A machine that does something else as well is not equally fast all the time.
    const after = await measureCapacity(ports, AT_A_TIME);
    return describe(outcomes, (capacity + after) / 2, seconds, setting);
  } finally {
    await endAll();
  }
}

function describe(outcomes: readonly Outcome[], capacity: number, length: number, { name, queue }: Setting): string[] {
  const isCounted = (atMs: number): boolean => atMs >= SETTLE_MS && atMs < length * 1_000;
  const good = outcomes.filter(({ status, fromMs, tookMs }) => status === 200 && isCounted(fromMs + tookMs));
  const refused = outcomes.filter(({ status, fromMs }) => status >= 500 && isCounted(fromMs));
  const broken = outcomes.filter(({ status }) => status === 0);
  const goodput = good.length / (length - SETTLE_MS / 1_000);
  const ms = (of: readonly Outcome[], share: number): string =>
    of.length === 0
      ? "-"
      : `${percentile(
          of.map(({ tookMs }) => tookMs),
          share,
        ).toFixed(0)} ms`;
  const statuses = [...new Set(refused.map(({ status }) => status))].join(", ");
  return [
    name,
    queue === 0 ? "none" : String(queue),
    `${((goodput * 100) / capacity).toFixed(1)}%`,
    ms(good, 0.5),
    ms(good, 0.99),
    `${refused.length} (${statuses})`,
    ms(refused, 0.5),
    String(broken.length),
  ];
}

const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
const wanted = values.only.split(",");
const settings = [...SETTINGS, nginx].filter(({ name }) => {
  const [program = ""] = name.split(",");
  if (!wanted.includes(program)) return false;
  return program === "evenkeel" || Bun.which(program, { PATH: path }) !== null;
});
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => void endAll().finally(() => process.exit(1)));
const rows: string[][] = [];
for (const setting of settings) {
  const row = await measure(setting);
  console.log(row.join(", "));
  rows.push(row);
}
console.log();
printTable(["", "queue", "goodput", "p50", "p99", "refused", "refused after (p50)", "broken"], rows);
