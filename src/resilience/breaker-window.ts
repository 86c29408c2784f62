/** Results of the last seconds in ten slices, in shared memory: what a circuit breaker computes its rates from. */
const SLICES = 10;
const EPOCH = 0;
const TOTAL = 1;
const FAILED = 2;
const SLOW = 3;
const CELLS = 4;

/** 32-bit words that a window takes. */
export const WINDOW_WORDS = SLICES * CELLS;

export interface WindowSums {
  total: number;
  failed: number;
  slow: number;
}

export class BreakerWindow {
  readonly #words: Int32Array;
  readonly #sliceMs: number;

  constructor(words: Int32Array, windowMs: number) {
    this.#words = words;
    this.#sliceMs = windowMs / SLICES;
  }

  add(failed: boolean, slow: boolean, nowMs: number): void {
    const epoch = this.#epoch(nowMs);
    const start = (epoch % SLICES) * CELLS;
    const seen = Atomics.load(this.#words, start + EPOCH);
    // The one who sees the slice's old epoch first clears it. What others count in that instant may be lost: a rate can bear it.
    if (seen !== epoch && Atomics.compareExchange(this.#words, start + EPOCH, seen, epoch) === seen) {
      for (let cell = TOTAL; cell < CELLS; cell++) Atomics.store(this.#words, start + cell, 0);
    }
    Atomics.add(this.#words, start + TOTAL, 1);
    if (failed) Atomics.add(this.#words, start + FAILED, 1);
    if (slow) Atomics.add(this.#words, start + SLOW, 1);
  }

  sum(nowMs: number, into: WindowSums): void {
    into.total = 0;
    into.failed = 0;
    into.slow = 0;
    const epoch = this.#epoch(nowMs);
    for (let start = 0; start < WINDOW_WORDS; start += CELLS) {
      const age = epoch - Atomics.load(this.#words, start + EPOCH);
      if (age < 0 || age >= SLICES) continue;
      into.total += Atomics.load(this.#words, start + TOTAL);
      into.failed += Atomics.load(this.#words, start + FAILED);
      into.slow += Atomics.load(this.#words, start + SLOW);
    }
  }

  clear(): void {
    for (let word = 0; word < WINDOW_WORDS; word++) Atomics.store(this.#words, word, 0);
  }

  /** Number of the slice that is running, within 31 bits; never 0, which stands for a slice that was never used. */
  #epoch(nowMs: number): number {
    return (Math.floor(nowMs / this.#sliceMs) % 0x3fff_ffff) + 1;
  }
}
