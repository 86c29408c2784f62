/** Hard bounds on what a pool may have in use at one time: waiting and active requests, retries. */
import type { UsageCounters } from "./usage-counters.ts";
import { tryAdd } from "./usage-counters.ts";

export type LimitedResource = "pending" | "active" | "retries";

/** The most there may be of each; 0 means no bound. */
export type ConcurrencyLimitOptions = Readonly<Record<LimitedResource, number>>;

/** Cells of `UsageCounters` that the limits of one pool take. */
export const CONCURRENCY_LIMIT_CELLS = 3;
/** Which of them counts what. */
export const LIMIT_CELL: Readonly<Record<LimitedResource, number>> = { pending: 0, active: 1, retries: 2 };

export class ConcurrencyLimits {
  /** May be replaced while in use; those over a lower bound end in their own time. */
  options: ConcurrencyLimitOptions;
  readonly #counters: UsageCounters;
  readonly #firstCell: number;

  constructor(counters: UsageCounters, firstCell: number, options: ConcurrencyLimitOptions) {
    this.#counters = counters;
    this.#firstCell = firstCell;
    this.options = options;
  }

  /** False when the bound is reached: the answer is 503, `describe` has the reason. True must be followed by one `release`. */
  tryAcquire(resource: LimitedResource): boolean {
    const limit = this.options[resource];
    const cell = this.#firstCell + LIMIT_CELL[resource];
    if (limit > 0) return tryAdd(this.#counters, cell, limit);
    this.#counters.add(cell);
    return true;
  }

  release(resource: LimitedResource): void {
    this.#counters.subtract(this.#firstCell + LIMIT_CELL[resource]);
  }

  inUse(resource: LimitedResource): number {
    return this.#counters.read(this.#firstCell + LIMIT_CELL[resource]);
  }

  /** How many more there may be; Infinity where there is no bound. For metrics. */
  remaining(resource: LimitedResource): number {
    const limit = this.options[resource];
    return limit === 0 ? Number.POSITIVE_INFINITY : Math.max(0, limit - this.inUse(resource));
  }

  /** The refusal in words: `1024 of 1024 active requests`. */
  describe(resource: LimitedResource): string {
    const what = resource === "retries" ? resource : `${resource} requests`;
    return `${this.inUse(resource)} of ${this.options[resource]} ${what}`;
  }
}
