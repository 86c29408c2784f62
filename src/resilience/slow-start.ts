/** Lets an endpoint that is new, or back after a failure, warm up: its weight grows to what it is set to. Source: Envoy. */

export interface SlowStartOptions {
  /** How long the warm-up takes; 0 turns it off; milliseconds. */
  readonly windowMs: number;
  /** 1 grows evenly; above 1 fast at first, below 1 slow at first. */
  readonly aggression: number;
  /** Percent of its weight that it has from the first moment. */
  readonly minPercent: number;
}

/** The part of its weight that an endpoint has `ageMs` after it came (back): from the floor to 1. */
export function slowStartFactor(ageMs: number, { windowMs, aggression, minPercent }: SlowStartOptions): number {
  if (ageMs >= windowMs) return 1;
  // At 0 the power would be 0 whatever the aggression.
  const passed = Math.max(1, ageMs) / windowMs;
  return Math.min(1, Math.max(minPercent / 100, passed ** (1 / aggression)));
}

/** Weights are whole numbers; all endpoints' are multiplied by this, so that a tenth of weight 1 can be said. */
export const WEIGHT_SCALE = 100;

/** The weight to balance by, in units of 1 / `WEIGHT_SCALE`; 0 stays 0, anything else is at least 1. */
export function effectiveWeight(weight: number, ageMs: number, options: SlowStartOptions): number {
  if (weight === 0) return 0;
  return Math.max(1, Math.round(weight * WEIGHT_SCALE * slowStartFactor(ageMs, options)));
}
