/** What the policies that keep pools up count together: one piece of shared memory, the same for all processes. */
import { type Region, subregion } from "../base/shared-memory.ts";
import { KINDS } from "../observability/metrics-table.ts";
import { PoolCounters } from "../pools/pool-counters.ts";
import { CircuitBreaker } from "../resilience/circuit-breaker.ts";
import { OutlierCounters } from "../resilience/outlier-counters.ts";
import { MAX_ENDPOINTS } from "../upstreams/endpoint-table.ts";

const POOLS = KINDS.pool.rows;
const OUTLIER_BYTES = OutlierCounters.bytes(MAX_ENDPOINTS);
const BREAKER_BYTES = CircuitBreaker.bytes();

export class ResilienceMemory {
  /** How attempts on endpoints ended, by their rows. */
  readonly outliers: OutlierCounters;
  readonly #usage: Region;
  readonly #breakers: Region;
  readonly #workers: number;

  static bytes(workers: number): number {
    return PoolCounters.bytes(POOLS, workers) + OUTLIER_BYTES + (MAX_ENDPOINTS + POOLS) * BREAKER_BYTES;
  }

  constructor(region: Region, workers: number) {
    const usageBytes = PoolCounters.bytes(POOLS, workers);
    this.#workers = workers;
    this.#usage = subregion(region, 0, usageBytes);
    this.outliers = new OutlierCounters(subregion(region, usageBytes, OUTLIER_BYTES), MAX_ENDPOINTS);
    this.#breakers = subregion(region, usageBytes + OUTLIER_BYTES, (MAX_ENDPOINTS + POOLS) * BREAKER_BYTES);
  }

  /** What pools have in use, counted on behalf of one worker. */
  pools(worker: number): PoolCounters {
    return new PoolCounters(this.#usage, POOLS, this.#workers, worker);
  }

  endpointBreaker(row: number): Region {
    return subregion(this.#breakers, row * BREAKER_BYTES, BREAKER_BYTES);
  }

  poolBreaker(row: number): Region {
    return this.endpointBreaker(MAX_ENDPOINTS + row);
  }

  /** Gives back all that a dead worker held. */
  releaseWorker(worker: number): void {
    this.pools(worker).usage.releaseWorker(worker);
  }

  /** Forgets an endpoint before its row is given to another. */
  clearEndpoint(row: number): void {
    this.outliers.clear(row);
    wipe(this.endpointBreaker(row));
  }

  /** Forgets the circuit of a pool before its row is given to another. What it has in use is given back as it ends. */
  clearPool(row: number): void {
    wipe(this.poolBreaker(row));
  }
}

function wipe({ buffer, byteOffset, byteLength }: Region): void {
  new Int32Array(buffer, byteOffset, byteLength / 4).fill(0);
}
