import type { Outcome } from "./outcome.ts";
import type { OutlierResults, Streak } from "./outlier-counters.ts";

const STREAKS: readonly Streak[] = ["gateway-errors", "server-errors", "connect-failures", "timeouts"];

/**
 * Counts results for a judge in another process, and calls it when an endpoint has failed too often in a row, so that it need
 * not wait for its next look. Two workers that count at the same moment may both pass the bound unnoticed: then that look comes.
 */
export class OutlierAlarm {
  readonly #results: OutlierResults;
  readonly #bounds: Readonly<Record<Streak, number>>;
  readonly #onStreak: (endpoint: number) => void;

  /** `bounds`: failures in a row of each kind, 0 for kinds that nobody is judged by. */
  constructor(results: OutlierResults, bounds: Readonly<Record<Streak, number>>, onStreak: (endpoint: number) => void) {
    this.#results = results;
    this.#bounds = bounds;
    this.#onStreak = onStreak;
  }

  record(endpoint: number, outcome: Outcome, latencyMs: number): void {
    this.#results.record(endpoint, outcome, latencyMs);
    if (outcome === "success") return;
    const isReached = (streak: Streak): boolean =>
      this.#bounds[streak] > 0 && this.#results.streak(endpoint, streak) === this.#bounds[streak];
    if (STREAKS.some(isReached)) this.#onStreak(endpoint);
  }
}
