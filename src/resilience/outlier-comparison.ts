/** Which endpoints of a pool do worse than the others: the arithmetic of outlier detection, once per interval. */
import type { IntervalResults } from "./outlier-counters.ts";

/** An endpoint to eject, and how far out it is. */
export interface Outlier {
  readonly endpoint: number;
  readonly measured: number;
  readonly bound: number;
}

/** One endpoint's results in the interval that ended. */
export interface Candidate extends IntervalResults {
  readonly endpoint: number;
}

/**
 * The success rate, in 0 to 1, below which an endpoint is an outlier: mean - deviations x standard deviation (of the
 * population, as Envoy has it). Can be below 0, which nothing is.
 */
export function successRateBound(rates: readonly number[], deviations: number): number {
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
  return mean - deviations * Math.sqrt(variance);
}

export interface SuccessRateOptions {
  /** Standard deviations below the mean; 0 turns the comparison off. */
  readonly successRateDeviations: number;
  /** Endpoints with enough requests that there must be. */
  readonly successRateMinimumHosts: number;
  /** Requests that an endpoint must have had in the interval. */
  readonly successRateMinimumVolume: number;
}

export function successRateOutliers(candidates: readonly Candidate[], options: SuccessRateOptions): Outlier[] {
  if (options.successRateDeviations === 0) return [];
  const judged = enough(candidates, options.successRateMinimumHosts, options.successRateMinimumVolume);
  if (judged.length === 0) return [];
  const rate = (candidate: Candidate): number => 1 - candidate.failures / candidate.total;
  const bound = successRateBound(judged.map(rate), options.successRateDeviations);
  return judged
    .map((candidate) => ({ endpoint: candidate.endpoint, measured: rate(candidate), bound }))
    .filter(({ measured }) => measured < bound)
    .sort((a, b) => a.measured - b.measured);
}

export interface FailurePercentageOptions {
  /** Percent of failed requests from which an endpoint is an outlier; 0 turns it off. */
  readonly failurePercentage: number;
  readonly failurePercentageMinimumHosts: number;
  readonly failurePercentageMinimumVolume: number;
}

export function failurePercentageOutliers(
  candidates: readonly Candidate[],
  options: FailurePercentageOptions,
): Outlier[] {
  const bound = options.failurePercentage;
  if (bound === 0) return [];
  return enough(candidates, options.failurePercentageMinimumHosts, options.failurePercentageMinimumVolume)
    .map(({ endpoint, failures, total }) => ({ endpoint, measured: (failures * 100) / total, bound }))
    .filter(({ measured }) => measured >= bound)
    .sort((a, b) => b.measured - a.measured);
}

export interface LatencyOptions {
  /** How many times the pool's median an endpoint's average latency must be; 0 turns it off. */
  readonly latencyFactor: number;
  /** Averages up to this are never outliers, however fast the others are; milliseconds. */
  readonly latencyFloorMs: number;
  readonly latencyMinimumHosts: number;
  readonly latencyMinimumVolume: number;
}

/** The median is the yardstick: unlike the mean it does not move with the one that is slow. */
export function latencyOutliers(candidates: readonly Candidate[], options: LatencyOptions): Outlier[] {
  if (options.latencyFactor === 0) return [];
  const answered = candidates.filter(({ latencyMs }) => latencyMs > 0);
  const judged = enough(answered, options.latencyMinimumHosts, options.latencyMinimumVolume);
  if (judged.length === 0) return [];
  const bound = Math.max(options.latencyFloorMs, options.latencyFactor * median(judged.map((one) => one.latencyMs)));
  return judged
    .map(({ endpoint, latencyMs }) => ({ endpoint, measured: latencyMs, bound }))
    .filter(({ measured }) => measured > bound)
    .sort((a, b) => b.measured - a.measured);
}

/** The candidates with enough requests to be judged; none when there are too few of them to compare. */
function enough(candidates: readonly Candidate[], hosts: number, volume: number): readonly Candidate[] {
  const judged = candidates.filter(({ total }) => total > 0 && total >= volume);
  return judged.length >= hosts ? judged : [];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}
