/**
 * When to send a second request after the same answer: once the first takes longer than nearly all do (its p95), so that
 * only one in twenty is doubled. The caller asks the retry budget before it sends one.
 */
import { LatencyQuantile } from "./latency-quantile.ts";

export interface HedgeOptions {
  /** The share of requests, in percent, that are answered sooner than the delay. */
  readonly quantilePercent: number;
  /** Bounds of the delay in milliseconds. */
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  /** Latencies that must be known before anything is hedged. */
  readonly minimumVolume: number;
  /** How far back latencies count, up to twice as long; milliseconds. */
  readonly windowMs: number;
}

/** How long an estimate is used before it is computed anew: it moves slowly, and it is asked for with every request. */
const KEEP_MS = 100;

export class HedgeDelay {
  readonly #options: HedgeOptions;
  readonly #latencies: LatencyQuantile;
  #estimateMs = -1;
  #computedMs: number;

  constructor(options: HedgeOptions, nowMs: number) {
    this.#options = options;
    this.#latencies = new LatencyQuantile(options.windowMs, nowMs);
    this.#computedMs = nowMs - KEEP_MS;
  }

  /** A first request was answered, `latencyMs` after it was sent. Those of second ones would drag the estimate down. */
  observe(latencyMs: number, nowMs: number): void {
    this.#latencies.observe(latencyMs, nowMs);
  }

  /** How long to wait for the first answer; -1 when too little is known to hedge. */
  delayMs(nowMs: number): number {
    if (nowMs - this.#computedMs < KEEP_MS) return this.#estimateMs;
    this.#computedMs = nowMs;
    const { quantilePercent, minDelayMs, maxDelayMs, minimumVolume } = this.#options;
    if (this.#latencies.count(nowMs) < Math.max(1, minimumVolume)) this.#estimateMs = -1;
    else {
      const estimateMs = this.#latencies.read(quantilePercent / 100, nowMs);
      this.#estimateMs = Math.min(maxDelayMs, Math.max(minDelayMs, estimateMs));
    }
    return this.#estimateMs;
  }
}
