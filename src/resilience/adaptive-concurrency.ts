/**
 * Finds out how many requests a pool can work on at one time: while answers take as long as they usually do the limit
 * grows, when they take longer it shrinks. Source: the Gradient2 limit of Netflix' concurrency-limits.
 */
import { tryAdd, type UsageCounters } from "./usage-counters.ts";

export interface AdaptiveConcurrencyOptions {
  readonly initialLimit: number;
  readonly minLimit: number;
  readonly maxLimit: number;
  /** Requests beyond what is worked on that may wait at the endpoints: lets the limit grow. */
  readonly queueSize: number;
  /** How many times its usual value the latency may reach before the limit shrinks. */
  readonly tolerance: number;
  /** Part of the way to its new value that the limit goes at once, 0 to 1. */
  readonly smoothing: number;
  /** Latencies are averaged over this time before the limit is computed anew; milliseconds. */
  readonly windowMs: number;
  /** Answers that there must be in it; with fewer it goes on. */
  readonly minimumSamples: number;
}

/** How many windows the usual latency is averaged over, and how many of them are averaged evenly to begin with. */
const LONG_WINDOWS = 600;
const WARM_UP_WINDOWS = 10;
const LOWEST_GRADIENT = 0.5;
/** When latency falls below half of the usual one, that one was learned under load and is forgotten faster. */
const RECOVERED_RATIO = 2;
const RECOVERY = 0.95;

/** One step: the limit after a window with average latency `shortMs`, where `longMs` is usual. */
export function gradientStep(
  limit: number,
  longMs: number,
  shortMs: number,
  { queueSize, tolerance, smoothing, minLimit, maxLimit }: AdaptiveConcurrencyOptions,
): number {
  const gradient = Math.max(LOWEST_GRADIENT, Math.min(1, (tolerance * longMs) / shortMs));
  const next = limit * (1 - smoothing) + (limit * gradient + queueSize) * smoothing;
  return Math.max(minLimit, Math.min(maxLimit, next));
}

export class AdaptiveConcurrency {
  readonly #options: AdaptiveConcurrencyOptions;
  readonly #counters: UsageCounters;
  readonly #cell: number;
  #limit: number;
  #longMs = 0;
  #windows = 0;
  #sumMs = 0;
  #samples = 0;
  #mostInFlight = 0;
  #windowEndsMs: number;

  /** In flight is counted in one cell of `counters`, over all workers when they are shared; each learns its own limit. */
  constructor(counters: UsageCounters, cell: number, options: AdaptiveConcurrencyOptions, nowMs: number) {
    this.#counters = counters;
    this.#cell = cell;
    this.#options = options;
    this.#limit = options.initialLimit;
    this.#windowEndsMs = nowMs + options.windowMs;
  }

  /** Requests that may be in flight now. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  get inFlight(): number {
    return this.#counters.read(this.#cell);
  }

  /** False when the limit is reached. True must be followed by one `release` or `cancel`. */
  tryAcquire(): boolean {
    if (!tryAdd(this.#counters, this.#cell, this.limit)) return false;
    const inFlight = this.inFlight;
    if (inFlight > this.#mostInFlight) this.#mostInFlight = inFlight;
    return true;
  }

  /** A request has ended, `latencyMs` after it was sent; one that ran into its timeout counts with that time. */
  release(latencyMs: number, nowMs: number): void {
    this.#counters.subtract(this.#cell);
    this.#sumMs += latencyMs;
    this.#samples++;
    if (nowMs >= this.#windowEndsMs && this.#samples >= this.#options.minimumSamples) this.#closeWindow(nowMs);
  }

  /** A request has ended in a way that says nothing about how fast the endpoints are. */
  cancel(): void {
    this.#counters.subtract(this.#cell);
  }

  #closeWindow(nowMs: number): void {
    const shortMs = Math.max(Number.MIN_VALUE, this.#sumMs / this.#samples);
    const busy = this.#mostInFlight >= this.#limit / 2;
    this.#sumMs = 0;
    this.#samples = 0;
    this.#mostInFlight = this.inFlight;
    this.#windowEndsMs = nowMs + this.#options.windowMs;
    this.#learn(shortMs);
    // With little to do, latency says nothing about a limit that nobody comes near.
    if (busy) this.#limit = gradientStep(this.#limit, this.#longMs, shortMs, this.#options);
  }

  #learn(shortMs: number): void {
    if (this.#windows < WARM_UP_WINDOWS) {
      this.#longMs = (this.#longMs * this.#windows + shortMs) / (this.#windows + 1);
      this.#windows++;
    } else this.#longMs += ((shortMs - this.#longMs) * 2) / (LONG_WINDOWS + 1);
    if (this.#longMs / shortMs > RECOVERED_RATIO) this.#longMs *= RECOVERY;
  }
}
