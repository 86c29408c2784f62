/**
 * A quantile of recent latencies in bounded memory: logarithmic buckets, one set for the window that runs and one for the
 * window before it. Exact to about 5%.
 */

const SMALLEST_MS = 0.1;
const GROWTH = 1.1;
const LOG_GROWTH = Math.log(GROWTH);
/** From 0.1 ms to five hours. */
const BUCKETS = 200;

export class LatencyQuantile {
  #current = new Uint32Array(BUCKETS);
  #previous = new Uint32Array(BUCKETS);
  #currentCount = 0;
  #previousCount = 0;
  #windowEndsMs: number;
  readonly #windowMs: number;

  /** Between one and two windows of latencies count. */
  constructor(windowMs: number, nowMs: number) {
    this.#windowMs = windowMs;
    this.#windowEndsMs = nowMs + windowMs;
  }

  /** Latencies that count now. */
  count(nowMs: number): number {
    this.#turn(nowMs);
    return this.#currentCount + this.#previousCount;
  }

  observe(latencyMs: number, nowMs: number): void {
    this.#turn(nowMs);
    const bucket = bucketOf(latencyMs);
    this.#current[bucket] = (this.#current[bucket] as number) + 1;
    this.#currentCount++;
  }

  /** The latency in milliseconds that the share `quantile` (0 to 1) of requests does not exceed; 0 without any. O(200). */
  read(quantile: number, nowMs: number): number {
    const count = this.count(nowMs);
    if (count === 0) return 0;
    const rank = Math.max(1, Math.ceil(quantile * count));
    let seen = 0;
    let bucket = -1;
    while (seen < rank && bucket < BUCKETS - 1) {
      bucket++;
      seen += (this.#current[bucket] as number) + (this.#previous[bucket] as number);
    }
    // The middle of the bucket on its logarithmic scale: never further off than half a step.
    return SMALLEST_MS * GROWTH ** (bucket + 0.5);
  }

  #turn(nowMs: number): void {
    if (nowMs < this.#windowEndsMs) return;
    const old = this.#previous;
    this.#previous = this.#current;
    this.#previousCount = this.#currentCount;
    this.#current = old.fill(0);
    this.#currentCount = 0;
    if (nowMs >= this.#windowEndsMs + this.#windowMs) {
      this.#previous.fill(0);
      this.#previousCount = 0;
    }
    this.#windowEndsMs = nowMs + this.#windowMs;
  }
}

function bucketOf(latencyMs: number): number {
  if (!(latencyMs > SMALLEST_MS)) return 0;
  return Math.min(BUCKETS - 1, Math.floor(Math.log(latencyMs / SMALLEST_MS) / LOG_GROWTH));
}
