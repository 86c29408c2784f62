/**
 * When requests to one pool get a second try beside the first: what its latencies are in this worker, and who still waits
 * for an answer. Those who wait are kept in the order in which they began, and one timer looks after the first of them.
 */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import { HedgeDelay, type HedgeOptions } from "../resilience/hedge-delay.ts";

/** The delay may become shorter while somebody waits: the timer never sleeps longer than this. */
const LOOK_MS = 100;

/** A first try whose answer has not begun. */
export interface Hedgeable {
  /** When it began. */
  readonly sinceMs: number;
  /** It takes longer than nearly all do. Called at most once. */
  hedge(nowMs: number): void;
}

export class PoolHedging {
  /** Differs when it would be made differently. */
  readonly fingerprint: string;
  readonly #delay: HedgeDelay;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #waiting = new Set<Hedgeable>();
  readonly #look = (): void => this.#hedgeSlow();
  #timer: Timer | undefined;

  constructor(options: HedgeOptions, fingerprint: string, clock: Clock, timers: Timers) {
    this.fingerprint = fingerprint;
    this.#delay = new HedgeDelay(options, clock.now());
    this.#clock = clock;
    this.#timers = timers;
  }

  /** It begins now. Nobody waits as long as too little is known of latencies. */
  add(one: Hedgeable): void {
    const delayMs = this.#delay.delayMs(one.sinceMs);
    if (delayMs < 0) return;
    this.#waiting.add(one);
    this.#timer ??= this.#timers.after(Math.ceil(Math.min(delayMs, LOOK_MS)), this.#look);
  }

  /** It has been answered, or has ended. */
  remove(one: Hedgeable): void {
    this.#waiting.delete(one);
  }

  /** How long a first try took to the first byte of its answer, or longer than that when it was cancelled. */
  observe(latencyMs: number, nowMs: number): void {
    this.#delay.observe(latencyMs, nowMs);
  }

  /** Nobody is hedged any more. */
  close(): void {
    this.#waiting.clear();
    this.#timer?.stop();
    this.#timer = undefined;
  }

  #hedgeSlow(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.now();
    const delayMs = this.#delay.delayMs(nowMs);
    for (const one of this.#waiting) {
      const leftMs = delayMs < 0 ? LOOK_MS : one.sinceMs + delayMs - nowMs;
      if (leftMs > 0) {
        this.#timer = this.#timers.after(Math.ceil(Math.min(leftMs, LOOK_MS)), this.#look);
        return;
      }
      this.#waiting.delete(one);
      one.hedge(nowMs);
    }
  }
}
