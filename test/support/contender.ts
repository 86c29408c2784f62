/** A thread that competes with others for a retry budget and for a breaker's trials: see shared-policies.test.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { BudgetCounters, PoolCounters } from "../../src/pools/pool-counters.ts";
import { CircuitBreaker, PASSED } from "../../src/resilience/circuit-breaker.ts";
import { RetryBudget } from "../../src/resilience/retry-budget.ts";

export interface Contest {
  readonly budget: SharedArrayBuffer;
  readonly breaker: SharedArrayBuffer;
  /** Holders of a retry now; the most there ever were; threads that are ready; threads that began trials. */
  readonly tally: SharedArrayBuffer;
  readonly workers: number;
  readonly worker: number;
  readonly rounds: number;
  readonly limit: number;
}

const TRIALS = 5;

export const breakerOptions = {
  consecutiveFailures: 1,
  failureRatePercent: 0,
  slowRatePercent: 0,
  slowMs: 1_000,
  windowMs: 1_000,
  minimumVolume: 1,
  openMs: 100,
  trials: TRIALS,
} as const;

if (parentPort !== null) compete(workerData as Contest);

function compete(contest: Contest): void {
  const { workers, worker, limit } = contest;
  const tally = new Int32Array(contest.tally);
  const region = (buffer: SharedArrayBuffer) => ({ buffer, byteOffset: 0, byteLength: buffer.byteLength });
  const counters = new PoolCounters(region(contest.budget), 1, workers, worker);
  const counts = new BudgetCounters(counters.usage, counters.retries(0), () => 0);
  const budget = new RetryBudget(counts, 0, { percent: 0, minimum: limit });
  let events = 0;
  const breaker = new CircuitBreaker(region(contest.breaker), breakerOptions, () => events++);
  // All begin together, or the first would be done before the last has started.
  Atomics.add(tally, 2, 1);
  while (Atomics.load(tally, 2) < workers);
  let started = 0;
  for (let round = 0; round < contest.rounds; round++) {
    if (!budget.tryStartRetry()) continue;
    started++;
    const holders = Atomics.add(tally, 0, 1) + 1;
    for (let most = Atomics.load(tally, 1); holders > most; most = Atomics.load(tally, 1)) {
      Atomics.compareExchange(tally, 1, most, holders);
    }
    Atomics.sub(tally, 0, 1);
    budget.retryEnded();
  }
  let trials = 0;
  for (let attempt = 0; attempt < 1_000; attempt++) if (breaker.admit(1_000) > PASSED) trials++;
  parentPort?.postMessage({ started, trials, events });
}
