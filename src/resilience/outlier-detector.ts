/**
 * Passive detection: takes endpoints out for a while that fail what they are asked, judged by failures in a row and by
 * comparison with the rest of the pool. Source: Envoy's outlier detection. One process judges and calls `tick`; workers
 * count into the shared `OutlierCounters`.
 */
import type { Random } from "../base/random.ts";
import type { Outcome } from "./outcome.ts";
import {
  type Candidate,
  type FailurePercentageOptions,
  failurePercentageOutliers,
  type LatencyOptions,
  latencyOutliers,
  type Outlier,
  type SuccessRateOptions,
  successRateOutliers,
} from "./outlier-comparison.ts";
import type { OutlierResults, Streak } from "./outlier-counters.ts";
import type { EjectionCause, OutlierEvent, ReturnCause } from "./outlier-event.ts";

export interface OutlierOptions extends SuccessRateOptions, FailurePercentageOptions, LatencyOptions {
  /** False: report only. */
  readonly enforcing: boolean;
  /** Failures in a row that eject, each kind by itself; 0 turns a kind off. */
  readonly consecutive: Readonly<Record<Streak, number>>;
  /** How often endpoints are compared, and how fast the ejection time shrinks again; milliseconds. */
  readonly intervalMs: number;
  /** The first ejection's time; the n-th takes n times as long, up to `maxEjectionMs`. */
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  /** Up to this much is added at random, so that endpoints ejected together do not return together. */
  readonly ejectionJitterMs: number;
  /** Endpoints that may be ejected at one time, in percent of the pool. */
  readonly maxEjectedPercent: number;
  /** No ejection may leave fewer available endpoints than this, in percent of the pool: it would cause a panic. */
  readonly minAvailablePercent: number;
}

const STREAKS: readonly Streak[] = ["gateway-errors", "server-errors", "connect-failures", "timeouts"];

export class OutlierDetector {
  options: OutlierOptions;
  /** Endpoints that are out for other reasons (checks, drain, maintenance), those that are ejected not among them. */
  unavailable = 0;
  readonly #counters: OutlierResults;
  readonly #random: Random;
  readonly #onEvent: (event: OutlierEvent) => void;
  /** When an ejected endpoint returns; 0 for those that are in. */
  readonly #returnsMs: Float64Array;
  /** When it last went out or came back. */
  readonly #changedMs: Float64Array;
  readonly #multiplier: Int32Array;
  /** Something about it was reported in this interval; more would only be noise. */
  readonly #reported: Uint8Array;
  #ejected = 0;
  #intervalEndsMs: number;

  constructor(
    counters: OutlierResults,
    options: OutlierOptions,
    random: Random,
    onEvent: (event: OutlierEvent) => void,
    nowMs: number,
  ) {
    this.#counters = counters;
    this.options = options;
    this.#random = random;
    this.#onEvent = onEvent;
    this.#returnsMs = new Float64Array(counters.endpoints);
    this.#changedMs = new Float64Array(counters.endpoints);
    this.#multiplier = new Int32Array(counters.endpoints);
    this.#reported = new Uint8Array(counters.endpoints);
    this.#intervalEndsMs = nowMs + options.intervalMs;
  }

  isEjected(endpoint: number): boolean {
    return this.#returnsMs[endpoint] !== 0;
  }

  /** Endpoints that are out now. */
  get ejected(): number {
    return this.#ejected;
  }

  /** Counts a result and judges at once. For where one process does both; workers that only count use the counters. */
  record(endpoint: number, outcome: Outcome, latencyMs: number, nowMs: number): void {
    this.#counters.record(endpoint, outcome, latencyMs);
    if (outcome !== "success") this.look(endpoint, nowMs);
  }

  /** Judges an endpoint by its failures in a row. */
  look(endpoint: number, nowMs: number): void {
    if (this.isEjected(endpoint)) return;
    const { consecutive } = this.options;
    for (const streak of STREAKS) {
      const bound = consecutive[streak];
      if (bound === 0) continue;
      const measured = this.#counters.streak(endpoint, streak);
      if (measured < bound) continue;
      this.#counters.endStreak(endpoint, streak);
      this.#eject({ endpoint, measured, bound }, streak, nowMs);
      return;
    }
  }

  /** Brings back those whose time is over, judges streaks that others counted, and once per interval compares. */
  tick(nowMs: number): void {
    for (let endpoint = 0; endpoint < this.#returnsMs.length; endpoint++) {
      if (!this.isEjected(endpoint)) this.look(endpoint, nowMs);
      else if ((this.#returnsMs[endpoint] as number) <= nowMs) this.#return(endpoint, "time-served", nowMs);
    }
    if (nowMs < this.#intervalEndsMs) return;
    this.#intervalEndsMs = nowMs + this.options.intervalMs;
    this.#reported.fill(0);
    this.#decay(nowMs);
    this.#compare(nowMs);
  }

  /** An active check of this endpoint passed: it need not wait for the end of its time. */
  activeCheckPassed(endpoint: number, nowMs: number): void {
    if (this.isEjected(endpoint)) this.#return(endpoint, "active-check", nowMs);
  }

  /** Takes over what an earlier detector knew of one endpoint, after a reload. The counters are taken over apart. */
  adopt(endpoint: number, earlier: OutlierDetector, earlierEndpoint: number): void {
    if (this.isEjected(endpoint)) this.#ejected--;
    this.#returnsMs[endpoint] = earlier.#returnsMs[earlierEndpoint] as number;
    this.#changedMs[endpoint] = earlier.#changedMs[earlierEndpoint] as number;
    this.#multiplier[endpoint] = earlier.#multiplier[earlierEndpoint] as number;
    if (this.isEjected(endpoint)) this.#ejected++;
  }

  #compare(nowMs: number): void {
    const candidates: Candidate[] = [];
    for (let endpoint = 0; endpoint < this.#returnsMs.length; endpoint++) {
      const candidate = { endpoint, total: 0, failures: 0, latencyMs: 0 };
      this.#counters.takeInterval(endpoint, candidate);
      if (!this.isEjected(endpoint)) candidates.push(candidate);
    }
    this.#ejectAll(successRateOutliers(candidates, this.options), "success-rate", nowMs);
    this.#ejectAll(failurePercentageOutliers(candidates, this.options), "failure-percentage", nowMs);
    this.#ejectAll(latencyOutliers(candidates, this.options), "latency", nowMs);
  }

  #ejectAll(outliers: readonly Outlier[], cause: EjectionCause, nowMs: number): void {
    for (const outlier of outliers) if (!this.isEjected(outlier.endpoint)) this.#eject(outlier, cause, nowMs);
  }

  #eject({ endpoint, measured, bound }: Outlier, cause: EjectionCause, nowMs: number): void {
    const { enforcing, baseEjectionMs, maxEjectionMs, ejectionJitterMs } = this.options;
    const times = (this.#multiplier[endpoint] as number) + 1;
    const forMs = Math.min(baseEjectionMs * times, maxEjectionMs) + this.#random.next() * ejectionJitterMs;
    if (!enforcing || !this.#mayEject()) {
      if (this.#reported[endpoint] === 1) return;
      this.#reported[endpoint] = 1;
      const kind = enforcing ? "spared" : "would-eject";
      this.#onEvent({ kind, endpoint, cause, measured, bound, forMs, atMs: nowMs });
      return;
    }
    // The multiplier stops growing at the cap, or an endpoint that failed all night would need all day to be forgiven.
    if (baseEjectionMs * (times - 1) < maxEjectionMs) this.#multiplier[endpoint] = times;
    this.#returnsMs[endpoint] = nowMs + forMs;
    this.#changedMs[endpoint] = nowMs;
    this.#ejected++;
    this.#onEvent({ kind: "ejected", endpoint, cause, measured, bound, forMs, atMs: nowMs });
  }

  #mayEject(): boolean {
    const count = this.#returnsMs.length;
    const { maxEjectedPercent, minAvailablePercent } = this.options;
    const availableAfter = count - this.unavailable - this.#ejected - 1;
    return (
      (this.#ejected + 1) * 100 <= count * maxEjectedPercent && availableAfter * 100 >= count * minAvailablePercent
    );
  }

  #return(endpoint: number, cause: ReturnCause, nowMs: number): void {
    this.#returnsMs[endpoint] = 0;
    this.#ejected--;
    this.#counters.clear(endpoint);
    const forMs = nowMs - (this.#changedMs[endpoint] as number);
    this.#changedMs[endpoint] = nowMs;
    this.#onEvent({ kind: "returned", endpoint, cause, forMs, atMs: nowMs });
  }

  /** Every whole interval that an endpoint is in takes one from what its next ejection is multiplied with. */
  #decay(nowMs: number): void {
    for (let endpoint = 0; endpoint < this.#multiplier.length; endpoint++) {
      const times = this.#multiplier[endpoint] as number;
      if (times === 0 || this.isEjected(endpoint)) continue;
      const inForMs = nowMs - (this.#changedMs[endpoint] as number);
      if (inForMs >= this.options.intervalMs) this.#multiplier[endpoint] = times - 1;
    }
  }
}
