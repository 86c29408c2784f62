/**
 * A retry budget over time instead of over what is active: every exchange earns a part of a retry, and what was earned is
 * forgotten after a while. For traffic so short that few exchanges are ever active at once. Source: Finagle's RetryBudget.
 */

export interface RetryTokenOptions {
  /** Retries that exchanges earn, in percent of them. */
  readonly percent: number;
  /** Retries per second that need not be earned. */
  readonly minimumPerSecond: number;
  /** How long what was earned, and what was spent, counts; milliseconds. */
  readonly ttlMs: number;
}

const SLICES = 10;
/** Tokens are counted in thousandths, so that any percentage is exact in integers. */
const EARNED = 1_000;

export class RetryTokenBudget {
  readonly #slices = new Float64Array(SLICES);
  readonly #sliceMs: number;
  readonly #earned: number;
  readonly #price: number;
  readonly #reserve: number;
  #sliceNumber: number;

  constructor(options: RetryTokenOptions, nowMs: number) {
    const earns = options.percent > 0;
    this.#price = earns ? Math.round((EARNED * 100) / options.percent) : EARNED;
    this.#earned = earns ? EARNED : 0;
    this.#reserve = options.minimumPerSecond * (options.ttlMs / 1_000) * this.#price;
    this.#sliceMs = options.ttlMs / SLICES;
    this.#sliceNumber = Math.floor(nowMs / this.#sliceMs);
  }

  /** An exchange has begun. */
  exchangeStarted(nowMs: number): void {
    this.#add(this.#earned, nowMs);
  }

  /** Pays for one retry if the balance allows it. */
  tryStartRetry(nowMs: number): boolean {
    if (this.available(nowMs) < 1) return false;
    this.#add(-this.#price, nowMs);
    return true;
  }

  /** Whole retries that could be paid for now. */
  available(nowMs: number): number {
    this.#forget(nowMs);
    let sum = this.#reserve;
    for (let slice = 0; slice < SLICES; slice++) sum += this.#slices[slice] as number;
    return Math.max(0, Math.floor(sum / this.#price));
  }

  #add(tokens: number, nowMs: number): void {
    this.#forget(nowMs);
    const slice = this.#sliceNumber % SLICES;
    this.#slices[slice] = (this.#slices[slice] as number) + tokens;
  }

  #forget(nowMs: number): void {
    const current = Math.floor(nowMs / this.#sliceMs);
    if (current <= this.#sliceNumber) return;
    const passed = Math.min(SLICES, current - this.#sliceNumber);
    for (let step = 0; step < passed; step++) this.#slices[(current - step) % SLICES] = 0;
    this.#sliceNumber = current;
  }
}
