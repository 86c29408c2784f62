/** From the settings of the configuration file to the options of the policies, where the two are not the same. */
import type { AdaptiveConcurrencyOptions } from "./adaptive-concurrency.ts";
import type { BackoffOptions } from "./backoff.ts";
import type { CircuitBreakerOptions } from "./circuit-breaker.ts";
import type { CodelOptions } from "./codel.ts";
import type { HedgeOptions } from "./hedge-delay.ts";
import type { LoadSheddingOptions } from "./load-shedding.ts";
import type { Streak } from "./outlier-counters.ts";
import type { OutlierOptions } from "./outlier-detector.ts";
import type { RetryConfig } from "./retry-schema.ts";
import type {
  AdaptiveConcurrencyConfig,
  CircuitBreakerConfig,
  CodelConfig,
  HedgingConfig,
  LoadSheddingConfig,
  OutlierDetectionConfig,
  SlowStartConfig,
} from "./schema.ts";
import type { SlowStartOptions } from "./slow-start.ts";

/** Settings of a policy that can be turned off, where it is not. */
type On<Config> = Exclude<Config, false>;

/** `panicPercent` is the pool's: ejections must not cause a panic. */
export function outlierOptions(config: On<OutlierDetectionConfig>, panicPercent: number): OutlierOptions {
  const { successRate, failurePercentage, latency } = config;
  return {
    enforcing: config.enforcing,
    consecutive: consecutiveFailures(config),
    intervalMs: config.interval,
    baseEjectionMs: config.baseEjection,
    maxEjectionMs: config.maxEjection,
    ejectionJitterMs: config.ejectionJitter,
    maxEjectedPercent: config.maxEjectedPercent,
    minAvailablePercent: panicPercent,
    successRateDeviations: successRate === false ? 0 : successRate.deviations,
    successRateMinimumHosts: successRate === false ? 0 : successRate.minimumHosts,
    successRateMinimumVolume: successRate === false ? 0 : successRate.minimumVolume,
    failurePercentage: failurePercentage === false ? 0 : failurePercentage.threshold,
    failurePercentageMinimumHosts: failurePercentage === false ? 0 : failurePercentage.minimumHosts,
    failurePercentageMinimumVolume: failurePercentage === false ? 0 : failurePercentage.minimumVolume,
    latencyFactor: latency === false ? 0 : latency.factor,
    latencyFloorMs: latency === false ? 0 : latency.floor,
    latencyMinimumHosts: latency === false ? 0 : latency.minimumHosts,
    latencyMinimumVolume: latency === false ? 0 : latency.minimumVolume,
  };
}

/** Failures in a row that eject, each kind by itself; 0 turns a kind off. */
export function consecutiveFailures(config: On<OutlierDetectionConfig>): Readonly<Record<Streak, number>> {
  return {
    "server-errors": config.consecutiveServerErrors,
    "gateway-errors": config.consecutiveGatewayErrors,
    "connect-failures": config.consecutiveConnectFailures,
    timeouts: config.consecutiveTimeouts,
  };
}

export function circuitBreakerOptions(config: On<CircuitBreakerConfig>): CircuitBreakerOptions {
  const { scope: _, slowerThan: slowMs, window: windowMs, openFor: openMs, ...rest } = config;
  return { ...rest, slowMs, windowMs, openMs };
}

export function backoffOptions({ base, max }: RetryConfig["backoff"]): BackoffOptions {
  return { baseMs: base, maxMs: max };
}

export function hedgeOptions(config: On<HedgingConfig>): HedgeOptions {
  const { quantilePercent, minDelay, maxDelay, minimumVolume, window } = config;
  return { quantilePercent, minimumVolume, minDelayMs: minDelay, maxDelayMs: maxDelay, windowMs: window };
}

export function slowStartOptions(config: SlowStartConfig): SlowStartOptions {
  if (config === false) return { windowMs: 0, aggression: 1, minPercent: 100 };
  return { windowMs: config.window, aggression: config.aggression, minPercent: config.minPercent };
}

export function adaptiveConcurrencyOptions(config: On<AdaptiveConcurrencyConfig>): AdaptiveConcurrencyOptions {
  const { window: windowMs, ...rest } = config;
  return { ...rest, windowMs };
}

export function codelOptions({ target, interval }: On<CodelConfig>): CodelOptions {
  return { targetMs: target, intervalMs: interval };
}

export function loadSheddingOptions(config: On<LoadSheddingConfig>): LoadSheddingOptions {
  return {
    delayFromMs: config.delayFrom,
    delayFullMs: config.delayFull,
    memoryFromBytes: config.memoryFrom,
    memoryFullBytes: config.memoryFull,
    recoveryMs: config.recovery,
  };
}
