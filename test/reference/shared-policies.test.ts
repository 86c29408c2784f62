/** Bounds that all workers share hold when they are really at it at the same time: threads over one memory. */
import { expect, test } from "bun:test";
import { Worker } from "node:worker_threads";
import { PoolCounters } from "../../src/pools/pool-counters.ts";
import { CircuitBreaker, PASSED } from "../../src/resilience/circuit-breaker.ts";
import { breakerOptions, type Contest } from "../support/contender.ts";

const WORKERS = 4;
const LIMIT = 2;

interface Outcome {
  readonly started: number;
  readonly trials: number;
  readonly events: number;
}

async function run(contest: Contest): Promise<Outcome> {
  const thread = new Worker(new URL("../support/contender.ts", import.meta.url), { workerData: contest });
  try {
    return await new Promise<Outcome>((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
    });
  } finally {
    await thread.terminate();
  }
}

test("the retry budget is never exceeded, and the trials of a breaker are given out once", async () => {
  const contest = {
    budget: new SharedArrayBuffer(PoolCounters.bytes(1, WORKERS)),
    breaker: new SharedArrayBuffer(CircuitBreaker.bytes()),
    tally: new SharedArrayBuffer(16),
    workers: WORKERS,
    rounds: 50_000,
    limit: LIMIT,
  };
  const memory = { buffer: contest.breaker, byteOffset: 0, byteLength: contest.breaker.byteLength };
  const breaker = new CircuitBreaker(memory, breakerOptions, () => {});
  breaker.record(PASSED, true, 1, 0);
  expect(breaker.state).toBe("open");

  const threads = Array.from({ length: WORKERS }, (_, worker) => run({ ...contest, worker }));
  const outcomes = await Promise.all(threads);
  const total = (of: (outcome: Outcome) => number): number => outcomes.reduce((sum, each) => sum + of(each), 0);
  const [holders, most] = new Int32Array(contest.tally);
  expect(holders).toBe(0);
  expect(most).toBeGreaterThanOrEqual(1);
  expect(most).toBeLessThanOrEqual(LIMIT);
  expect(total(({ started }) => started)).toBeGreaterThan(WORKERS);
  expect(total(({ trials }) => trials)).toBe(breakerOptions.trials);
  expect(total(({ events }) => events)).toBe(1);
  expect(breaker.state).toBe("half-open");
});
