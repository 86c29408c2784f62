/**
 * What clients notice when one endpoint of four goes wrong, behind evenkeel, nginx and HAProxy.
 * `npm run bench:faults`; `--only evenkeel,haproxy`, `--cases hangs`, `--rate 300`, `--method POST`.
 */
import { parseArgs } from "node:util";
import { type ControlledEndpoint, startControlledEndpoints } from "../../test/support/controlled-endpoint.ts";
import { type Outcome, steadyLoad } from "../../test/support/fixed-rate-load.ts";
import { endAll, freePort, temporaryFolder } from "../../test/support/process.ts";
import { printTable } from "../experiments/table.ts";
import { type Balancer, evenkeel, haproxy, nginx, untilServing } from "./balancers.ts";
import { CASES, type Case } from "./cases.ts";

const ENDPOINTS = 4;
const SECONDS = 20;
const FAULT_FROM_MS = 5_000;
const FAULT_UNTIL_MS = 12_000;
const SLOW_MS = 1_000;
const PATIENCE_MS = 8_000;

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "evenkeel,nginx,haproxy" },
    cases: { type: "string", default: "" },
    rate: { type: "string", default: "300" },
    method: { type: "string", default: "GET" },
  },
});
const rate = Number(values.rate);
const { method } = values;
if (method !== "GET" && method !== "POST") throw new Error("--method: expected GET or POST");
if (!(rate >= 1 && rate <= 5_000)) throw new Error("--rate: expected requests per second from 1 to 5000, such as 300");

async function measure(balancer: Balancer, fault: Case, method: "GET" | "POST"): Promise<readonly Outcome[]> {
  const endpoints = await startControlledEndpoints(ENDPOINTS);
  const ports = endpoints.map(({ port }) => port);
  const port = await freePort();
  const program = balancer.start({ folder: temporaryFolder(), port, adminPort: await freePort(), endpoints: ports });
  try {
    await untilServing(program, port);
    const sick = endpoints[1] as ControlledEndpoint;
    const load = steadyLoad({ port, requestsPerSecond: rate, seconds: SECONDS, patienceMs: PATIENCE_MS, method });
    await Bun.sleep(FAULT_FROM_MS);
    await fault.begin(sick);
    await Bun.sleep(FAULT_UNTIL_MS - FAULT_FROM_MS);
    await fault.end(sick);
    return await load;
  } finally {
    await endAll();
  }
}

function describe(outcomes: readonly Outcome[]): string[] {
  const failed = outcomes.filter(({ status }) => status !== 200);
  const slow = outcomes.filter(({ status, tookMs }) => status === 200 && tookMs > SLOW_MS);
  const lastMs = Math.max(0, ...[...failed, ...slow].map(({ fromMs }) => fromMs - FAULT_FROM_MS));
  const recovered = failed.length + slow.length === 0 ? "at once" : `${(lastMs / 1_000).toFixed(1)} s`;
  return [String(failed.length), String(slow.length), recovered];
}

const names = values.only.split(",");
const balancers = [evenkeel, nginx, haproxy].filter(({ name, program }) => {
  if (!names.includes(name)) return false;
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  if (Bun.which(program, { PATH: path }) !== null) return true;
  console.log(`${name} is not installed and left out`);
  return false;
});
const cases = CASES.filter(({ name }) => name.includes(values.cases));
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => void endAll().finally(() => process.exit(1)));
console.log(
  `${rate} ${method}/s for ${SECONDS} s, ${rate * SECONDS} in all; failed, slow (> 1 s), and until the last of them\n`,
);
const rows: string[][] = [];
for (const fault of cases) {
  const row = [fault.name];
  for (const balancer of balancers) {
    const [failed, slow, recovered] = describe(await measure(balancer, fault, method));
    row.push(`${failed} / ${slow} / ${recovered}`);
    console.log(`${fault.name}, ${balancer.name}: ${row.at(-1)}`);
  }
  rows.push(row);
}
console.log();
printTable(["the endpoint", ...balancers.map(({ name }) => name)], rows);
