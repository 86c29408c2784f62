/**
 * Keeps retries from becoming the load: at any moment they may be a share of what is active, and a few in any case. A retry
 * counts from when it is scheduled, so that those that wait out their backoff cannot pile up behind the budget's back.
 */
import { tryAdd, type UsageCounters } from "./usage-counters.ts";

export interface RetryBudgetOptions {
  /** Retries at one time, in percent of the active exchanges. */
  readonly percent: number;
  /** Retries that are always allowed at one time, so that a quiet pool can retry too. */
  readonly minimum: number;
}

/** Cells of `UsageCounters` that one budget takes. */
export const RETRY_BUDGET_CELLS = 2;
const ACTIVE = 0;
const RETRIES = 1;

export class RetryBudget {
  options: RetryBudgetOptions;
  readonly #counters: UsageCounters;
  readonly #firstCell: number;

  /** Uses `RETRY_BUDGET_CELLS` cells of `counters` from `firstCell` on. `options` may be replaced while in use. */
  constructor(counters: UsageCounters, firstCell: number, options: RetryBudgetOptions) {
    this.#counters = counters;
    this.#firstCell = firstCell;
    this.options = options;
  }

  /** An exchange has begun, waiting ones included. Its retries are not exchanges of their own. */
  exchangeStarted(): void {
    this.#counters.add(this.#firstCell + ACTIVE);
  }

  exchangeEnded(): void {
    this.#counters.subtract(this.#firstCell + ACTIVE);
  }

  /** Call when a retry (or a hedged request) is decided on, before its backoff. True must be followed by `retryEnded`. */
  tryStartRetry(): boolean {
    return tryAdd(this.#counters, this.#firstCell + RETRIES, this.allowed);
  }

  /** The retry has ended, or was given up before it was sent. */
  retryEnded(): void {
    this.#counters.subtract(this.#firstCell + RETRIES);
  }

  get active(): number {
    return this.#counters.read(this.#firstCell + ACTIVE);
  }

  get retries(): number {
    return this.#counters.read(this.#firstCell + RETRIES);
  }

  /** Retries that may be under way at this moment. */
  get allowed(): number {
    return Math.max(this.options.minimum, Math.floor((this.active * this.options.percent) / 100));
  }
}
