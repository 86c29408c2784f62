import type { Clock, Timer, Timers } from "./clock.ts";

interface Pending {
  at: number;
  readonly sequence: number;
  readonly everyMs: number;
  readonly run: () => void;
  stopped: boolean;
}

/** A clock and timers that move only when told to. `advance` runs what falls due, in order of time. */
export class FakeClock implements Clock, Timers {
  #nowMs = 0;
  #sequence = 0;
  #pending: Pending[] = [];
  readonly #epochMs: number;

  constructor(epochMs = Date.UTC(2026, 0, 1)) {
    this.#epochMs = epochMs;
  }

  now(): number {
    return this.#nowMs;
  }

  wallNow(): number {
    return this.#epochMs + this.#nowMs;
  }

  after(delayMs: number, run: () => void): Timer {
    return this.#add(delayMs, 0, run);
  }

  every(intervalMs: number, run: () => void): Timer {
    if (!(intervalMs > 0)) throw new RangeError(`every(): the interval must be positive, got ${intervalMs}`);
    return this.#add(intervalMs, intervalMs, run);
  }

  /** Timers that are still waiting. A test that ends with some has found a leak. */
  get waiting(): number {
    return this.#pending.length;
  }

  advance(byMs: number): void {
    const until = this.#nowMs + byMs;
    for (;;) {
      const next = this.#earliest(until);
      if (next === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, next.at);
      if (next.everyMs > 0) next.at += next.everyMs;
      else this.#remove(next);
      next.run();
    }
    this.#nowMs = until;
  }

  #add(delayMs: number, everyMs: number, run: () => void): Timer {
    const entry: Pending = {
      at: this.#nowMs + Math.max(0, delayMs),
      sequence: this.#sequence++,
      everyMs,
      run,
      stopped: false,
    };
    this.#pending.push(entry);
    return { stop: () => this.#remove(entry) };
  }

  #remove(entry: Pending): void {
    entry.stopped = true;
    const index = this.#pending.indexOf(entry);
    if (index >= 0) this.#pending.splice(index, 1);
  }

  #earliest(until: number): Pending | undefined {
    let best: Pending | undefined;
    for (const entry of this.#pending) {
      if (entry.at > until) continue;
      if (best === undefined || entry.at < best.at || (entry.at === best.at && entry.sequence < best.sequence)) {
        best = entry;
      }
    }
    return best;
  }
}
