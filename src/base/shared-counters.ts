/**
 * Counts per key (a client's address, a listener) that are exact over all workers: a hash table in shared memory with a
 * column for each worker, so that what a dead worker counted can be taken back. Guarded by one lock, held for well under a
 * microsecond; used once when a connection opens and once when it closes, never per request.
 */
import { hashString, mix32 } from "./hash.ts";
import type { Region } from "./shared-memory.ts";

const CAPACITY = 65_536;
/** Beyond this many keys, new ones are not counted: a flood from many addresses meets the listener's own limit first. */
const MAX_KEYS = CAPACITY * 0.75;
const HEADER_WORDS = 2;
const LOCK = 0;
const KEYS = 1;
const MAX_SPINS = 2_000_000;

/** A key as two hashes: 64 bits, so that two keys are never confused in practice. The first is never 0. */
export interface CounterKey {
  readonly high: number;
  readonly low: number;
}

export function counterKey(text: string): CounterKey {
  return { high: hashString(text, 1) | 1, low: hashString(text, 2) | 0 };
}

export class SharedCounters {
  readonly #words: Int32Array;
  readonly #stride: number;
  readonly #worker: number;

  static bytes(workers: number): number {
    return Math.ceil(((HEADER_WORDS + CAPACITY * (2 + workers)) * 4) / 8) * 8;
  }

  constructor(region: Region, workers: number, worker: number) {
    this.#words = new Int32Array(region.buffer, region.byteOffset, HEADER_WORDS + CAPACITY * (2 + workers));
    this.#stride = 2 + workers;
    this.#worker = worker;
  }

  /** Counts one more for `key` unless that would exceed `limit`. */
  tryAdd(key: CounterKey, limit: number): "added" | "refused" | "not-counted" {
    if (!this.#lock()) return "not-counted";
    try {
      let at = this.#find(key);
      if (this.#words[at] === 0) {
        if ((this.#words[KEYS] as number) >= MAX_KEYS) return "not-counted";
        this.#words[at] = key.high;
        this.#words[at + 1] = key.low;
        this.#words[KEYS] = (this.#words[KEYS] as number) + 1;
      }
      if (this.#sum(at) >= limit) return "refused";
      at += 2 + this.#worker;
      this.#words[at] = (this.#words[at] as number) + 1;
      return "added";
    } finally {
      this.#unlock();
    }
  }

  subtract(key: CounterKey): void {
    if (!this.#lock()) return;
    try {
      const at = this.#find(key);
      if (this.#words[at] === 0) return;
      const cell = at + 2 + this.#worker;
      this.#words[cell] = Math.max(0, (this.#words[cell] as number) - 1);
      if (this.#sum(at) === 0) this.#remove(at);
    } finally {
      this.#unlock();
    }
  }

  count(key: CounterKey): number {
    const at = this.#find(key);
    return this.#words[at] === 0 ? 0 : this.#sum(at);
  }

  /** Takes back what a dead worker counted, and its lock if it died with it. Keys left at nothing go when next used. */
  releaseWorker(worker: number): void {
    Atomics.compareExchange(this.#words, LOCK, worker + 1, 0);
    if (!this.#lock()) return;
    for (let slot = 0; slot < CAPACITY; slot++) this.#words[this.#start(slot) + 2 + worker] = 0;
    this.#unlock();
  }

  #lock(): boolean {
    for (let spin = 0; spin < MAX_SPINS; spin++) {
      if (Atomics.compareExchange(this.#words, LOCK, 0, this.#worker + 1) === 0) return true;
    }
    return false;
  }

  #unlock(): void {
    Atomics.store(this.#words, LOCK, 0);
  }

  #start(slot: number): number {
    return HEADER_WORDS + slot * this.#stride;
  }

  /** Where the key is, or the empty place where it belongs (linear probing). */
  #find(key: CounterKey): number {
    let slot = mix32(key.high ^ key.low) & (CAPACITY - 1);
    for (;;) {
      const at = this.#start(slot);
      const high = this.#words[at];
      if (high === 0 || (high === key.high && this.#words[at + 1] === key.low)) return at;
      slot = (slot + 1) & (CAPACITY - 1);
    }
  }

  #sum(at: number): number {
    let sum = 0;
    for (let cell = at + 2; cell < at + this.#stride; cell++) sum += this.#words[cell] as number;
    return sum;
  }

  /** Closes the gap, so that probing finds every other key as before. */
  #remove(at: number): void {
    const words = this.#words;
    let gap = (at - HEADER_WORDS) / this.#stride;
    for (let slot = (gap + 1) & (CAPACITY - 1); words[this.#start(slot)] !== 0; slot = (slot + 1) & (CAPACITY - 1)) {
      const from = this.#start(slot);
      const home = mix32((words[from] as number) ^ (words[from + 1] as number)) & (CAPACITY - 1);
      const distanceToGap = (gap - home) & (CAPACITY - 1);
      const distanceToSlot = (slot - home) & (CAPACITY - 1);
      if (distanceToGap > distanceToSlot) continue;
      words.copyWithin(this.#start(gap), from, from + this.#stride);
      gap = slot;
    }
    words.fill(0, this.#start(gap), this.#start(gap) + this.#stride);
    words[KEYS] = (words[KEYS] as number) - 1;
  }
}
