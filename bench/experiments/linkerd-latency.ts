/**
 * The experiment that Linkerd's authors published for their balancers ("Beyond Round Robin"): eleven endpoints that answer
 * in 167 ms, of which one takes 2 s for half a minute. How many clients with a timeout of 1 s get their answer?
 * With evenkeel's own balancers, on a virtual clock. Run: `node tools/run.mjs bench/experiments/linkerd-latency.ts`
 */
import { parseArgs } from "node:util";
import { buildBalancer } from "../../src/balancing/build.ts";
import type { AlgorithmName } from "../../src/balancing/registry.ts";
import { balanceSchema } from "../../src/balancing/schema.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { printTable, quantileOf } from "./table.ts";
import { VirtualTime } from "./virtual-time.ts";

const ENDPOINTS = 11;
const MEDIAN_MS = 167;
const DEVIATION_MS = 5;
const REQUESTS_PER_SECOND = 1_000;
const LENGTH_MS = 60_000;
const SLOW_FROM_MS = 15_000;
const SLOW_UNTIL_MS = 45_000;
const SLOW_MS = 2_000;
const TIMEOUT_MS = 1_000;

const ALGORITHMS: readonly AlgorithmName[] = [
  "round-robin",
  "random",
  "power-of-two-choices",
  "least-connections",
  "least-response-time",
  "peak-ewma",
];

interface Endpoint {
  readonly id: string;
  readonly weight: number;
  readonly eligible: boolean;
  active: number;
}

export interface LatencyResult {
  readonly latencies: Float64Array;
  /** Percent of the requests that were answered before the clients' timeout. */
  readonly inTimePercent: number;
  /** Requests that went to the slow endpoint while it was slow. */
  readonly toSlow: number;
}

/** One minute of traffic. */
export function simulate(algorithm: AlgorithmName, seed: number): LatencyResult {
  const time = new VirtualTime();
  const random = seededRandom(seed);
  const endpoints: Endpoint[] = Array.from({ length: ENDPOINTS }, (_, index) => ({
    id: `10.0.0.${index + 1}:80`,
    weight: 1,
    eligible: true,
    active: 0,
  }));
  const balancer = buildBalancer(balanceSchema.parse(algorithm), endpoints, { random, clock: time });
  const latencies: number[] = [];
  let toSlow = 0;
  const send = (): void => {
    const endpoint = balancer.pick(0, undefined)!;
    const isSlow = endpoint === endpoints[0] && time.now() >= SLOW_FROM_MS && time.now() < SLOW_UNTIL_MS;
    if (isSlow) toSlow++;
    const latencyMs = isSlow ? SLOW_MS : Math.max(1, MEDIAN_MS + DEVIATION_MS * normal(random));
    endpoint.active++;
    time.after(latencyMs, () => {
      endpoint.active--;
      latencies.push(latencyMs);
      balancer.onRelease?.(endpoint, latencyMs, false);
    });
  };
  const arrive = (): void => {
    if (time.now() >= LENGTH_MS) return;
    send();
    time.after(1_000 / REQUESTS_PER_SECOND, arrive);
  };
  time.after(0, arrive);
  time.run();
  const inTime = latencies.filter((each) => each < TIMEOUT_MS).length;
  return { latencies: Float64Array.from(latencies), inTimePercent: (inTime * 100) / latencies.length, toSlow };
}

/** Standard normal (Box and Muller). */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

function main(): void {
  const { values } = parseArgs({ options: { seeds: { type: "string", default: "10" } } });
  const seeds = Number(values.seeds);
  const rows = ALGORITHMS.map((algorithm) => {
    const results = Array.from({ length: seeds }, (_, seed) => simulate(algorithm, seed + 1));
    const rates = results.map(({ inTimePercent }) => inTimePercent);
    const all = Float64Array.from(results.flatMap(({ latencies }) => [...latencies])).sort();
    const toSlow = results.reduce((sum, result) => sum + result.toSlow, 0) / seeds;
    return [
      algorithm,
      `${(rates.reduce((sum, rate) => sum + rate, 0) / seeds).toFixed(2)}%`,
      `${Math.min(...rates).toFixed(2)}%`,
      toSlow.toFixed(1),
      ...[0.5, 0.95, 0.99, 0.999].map((quantile) => quantileOf(all, quantile).toFixed(0)),
    ];
  });
  console.log(`${seeds} runs of each; latencies in ms, over the whole minute\n`);
  printTable(["balancer", "in time", "worst run", "to the slow one", "p50", "p95", "p99", "p99.9"], rows);
}

if (import.meta.main) main();
