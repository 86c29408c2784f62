/** How much of something is in use now: the counts behind budgets and limits, private to a process or shared by all. */
import type { Region } from "../base/shared-memory.ts";

/** Numbered counts. What was added must be subtracted once. */
export interface UsageCounters {
  /** The count over all who share it. */
  read(cell: number): number;
  add(cell: number): void;
  subtract(cell: number): void;
}

/** Adds one unless that would exceed `limit`. Two that meet at the limit may both be refused; it is never exceeded. */
export function tryAdd(counters: UsageCounters, cell: number, limit: number): boolean {
  counters.add(cell);
  if (counters.read(cell) <= limit) return true;
  counters.subtract(cell);
  return false;
}

/** Counts of this process alone: one worker, tests, the simulator. */
export class LocalUsageCounters implements UsageCounters {
  readonly #counts: Int32Array;

  constructor(cells: number) {
    this.#counts = new Int32Array(cells);
  }

  read(cell: number): number {
    return this.#counts[cell] as number;
  }

  add(cell: number): void {
    this.#counts[cell] = (this.#counts[cell] as number) + 1;
  }

  subtract(cell: number): void {
    this.#counts[cell] = (this.#counts[cell] as number) - 1;
  }
}

/**
 * Counts over all workers in shared memory, with a column for each, so that what a dead one held can be given back, and one
 * for what other balancers have.
 */
export class SharedUsageCounters implements UsageCounters {
  readonly #counts: Int32Array;
  readonly #columns: number;
  readonly #worker: number;

  /** Bytes of the region for this many cells, a multiple of 8. */
  static bytes(cells: number, workers: number): number {
    return Math.ceil((cells * (workers + 1)) / 2) * 8;
  }

  /** `worker` is the column that this process writes. */
  constructor(region: Region, cells: number, workers: number, worker: number) {
    if (worker < 0 || worker >= workers) throw new RangeError(`worker ${worker} of ${workers}`);
    this.#columns = workers + 1;
    this.#counts = new Int32Array(region.buffer, region.byteOffset, cells * this.#columns);
    this.#worker = worker;
  }

  read(cell: number): number {
    const start = cell * this.#columns;
    const end = start + this.#columns;
    let sum = 0;
    for (let at = start; at < end; at++) sum += Atomics.load(this.#counts, at);
    return sum;
  }

  /** The count without what other balancers have. */
  readHere(cell: number): number {
    return this.read(cell) - Atomics.load(this.#counts, this.#elsewhere(cell));
  }

  setElsewhere(cell: number, count: number): void {
    Atomics.store(this.#counts, this.#elsewhere(cell), count);
  }

  add(cell: number): void {
    Atomics.add(this.#counts, cell * this.#columns + this.#worker, 1);
  }

  subtract(cell: number): void {
    Atomics.sub(this.#counts, cell * this.#columns + this.#worker, 1);
  }

  /** Gives back all that a dead worker held. */
  releaseWorker(worker: number): void {
    for (let at = worker; at < this.#counts.length; at += this.#columns) Atomics.store(this.#counts, at, 0);
  }

  #elsewhere(cell: number): number {
    return (cell + 1) * this.#columns - 1;
  }
}
