/** What the policies that keep pools up count together: one piece of shared memory, the same for all processes. */
import { type Region, subregion } from "../base/shared-memory.ts";
import { KINDS } from "../observability/metrics-table.ts";
import { PoolCounters } from "../pools/pool-counters.ts";

const POOLS = KINDS.pool.rows;

export class ResilienceMemory {
  readonly #usageRegion: Region;
  readonly #workers: number;

  static bytes(workers: number): number {
    return PoolCounters.bytes(POOLS, workers);
  }

  constructor(region: Region, workers: number) {
    this.#workers = workers;
    this.#usageRegion = subregion(region, 0, PoolCounters.bytes(POOLS, workers));
  }

  /** What pools have in use, counted on behalf of one worker. */
  pools(worker: number): PoolCounters {
    return new PoolCounters(this.#usageRegion, POOLS, this.#workers, worker);
  }

  /** Gives back all that a dead worker held. */
  releaseWorker(worker: number): void {
    this.pools(worker).usage.releaseWorker(worker);
  }
}
