/** What pools have in use at one time, counted over all workers in shared memory: each pool has a row of counts. */
import type { Region } from "../base/shared-memory.ts";
import { CONCURRENCY_LIMIT_CELLS } from "../resilience/concurrency-limits.ts";
import { SharedUsageCounters, type UsageCounters } from "../resilience/usage-counters.ts";

const LIMITS = 0;
const RETRIES = LIMITS + CONCURRENCY_LIMIT_CELLS;
const ADAPTIVE = RETRIES + 1;
const CELLS = ADAPTIVE + 1;

export class PoolCounters {
  readonly usage: SharedUsageCounters;

  static bytes(pools: number, workers: number): number {
    return SharedUsageCounters.bytes(pools * CELLS, workers);
  }

  /** `worker` is the column that this process writes. */
  constructor(region: Region, pools: number, workers: number, worker: number) {
    this.usage = new SharedUsageCounters(region, pools * CELLS, workers, worker);
  }

  /** First cell of the concurrency limits of the pool in `row`. */
  limits(row: number): number {
    return row * CELLS + LIMITS;
  }

  /** The cell of its retries, those waiting out their backoff included. */
  retries(row: number): number {
    return row * CELLS + RETRIES;
  }

  /** The cell of what adaptive concurrency has in flight. */
  adaptive(row: number): number {
    return row * CELLS + ADAPTIVE;
  }
}

/**
 * The two counts of a retry budget: retries are counted, active requests are summed up when somebody asks, since their
 * endpoints have counted them already.
 */
export class BudgetCounters implements UsageCounters {
  readonly #usage: UsageCounters;
  readonly #cell: number;
  readonly #active: () => number;

  constructor(usage: UsageCounters, cell: number, active: () => number) {
    this.#usage = usage;
    this.#cell = cell;
    this.#active = active;
  }

  read(cell: number): number {
    return cell === 0 ? this.#active() : this.#usage.read(this.#cell);
  }

  add(): void {
    this.#usage.add(this.#cell);
  }

  subtract(): void {
    this.#usage.subtract(this.#cell);
  }
}
