/** Gives pools the policies that their settings ask for, with their counts in shared memory. */

import type { Pool } from "../pools/pool.ts";
import { BudgetCounters, type PoolCounters } from "../pools/pool-counters.ts";
import { PoolRetry } from "../pools/pool-retry.ts";
import type { PoolConfig } from "../pools/schema.ts";
import type { ResilienceMemory } from "./resilience-memory.ts";

export class PoolPolicies {
  readonly #counters: PoolCounters;

  constructor(memory: ResilienceMemory, worker: number) {
    this.#counters = memory.pools(worker);
  }

  /** How requests to the pool in `row` of the shared counts are tried again. */
  retry(row: number, { retry }: PoolConfig, pool: () => Pool): PoolRetry {
    return new PoolRetry(
      retry,
      new BudgetCounters(this.#counters.usage, this.#counters.retries(row), () => activeIn(pool())),
    );
  }
}

/** Requests that are served over all workers, and those that wait in this one. */
function activeIn({ view, queue }: Pool): number {
  let active = queue.length;
  for (const endpoint of view.endpoints) active += endpoint.active;
  return active;
}
