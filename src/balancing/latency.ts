/** What the latency-aware algorithms remember of each endpoint: moving averages that forget with time. */
import type { Clock } from "../base/clock.ts";

/**
 * Peak EWMA (Finagle): jumps up at once when an answer is slower than the average, comes down slowly. In milliseconds.
 * With `peaks` false it is a plain exponentially weighted average over the same time.
 */
export class MovingLatency {
  #averageMs = 0;
  #stampMs: number;
  readonly #decayMs: number;
  readonly #peaks: boolean;

  constructor(decayMs: number, peaks: boolean, nowMs: number) {
    this.#decayMs = decayMs;
    this.#peaks = peaks;
    this.#stampMs = nowMs;
  }

  observe(latencyMs: number, nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#stampMs);
    const kept = Math.exp(-elapsedMs / this.#decayMs);
    if (this.#averageMs === 0 || (this.#peaks && latencyMs > this.#averageMs)) this.#averageMs = latencyMs;
    else this.#averageMs = this.#averageMs * kept + latencyMs * (1 - kept);
    this.#stampMs = nowMs;
  }

  /** The average as it stands now; 0 when nothing has been seen yet. Without answers it sinks, so that the slow are tried again. */
  read(nowMs: number): number {
    if (this.#averageMs === 0) return 0;
    return this.#averageMs * Math.exp(-Math.max(0, nowMs - this.#stampMs) / this.#decayMs);
  }
}

/** One for each endpoint, by identity. */
export function latencies<E extends object>(
  endpoints: readonly E[],
  decayMs: number,
  peaks: boolean,
  clock: Clock,
): ReadonlyMap<E, MovingLatency> {
  return new Map(endpoints.map((endpoint) => [endpoint, new MovingLatency(decayMs, peaks, clock.now())]));
}
