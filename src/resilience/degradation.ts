/**
 * Who gets the traffic when endpoints fail: shares per tier, in this order: healthy endpoints of the first tier, those of
 * the next ones, degraded endpoints, and, when too few of a tier are left, all of them (panic). Source: Envoy's priority
 * levels and panic threshold.
 */

/** How many endpoints of a tier are in which state. The rest of `total` is out. */
export interface TierHealth {
  readonly total: number;
  readonly healthy: number;
  readonly degraded: number;
}

export interface DegradationOptions {
  /** Percent of its endpoints' load that a tier can carry, 140: it spills over when fewer than 5 in 7 are healthy. */
  readonly overprovisioningPercent: number;
  /** Below this percent of available endpoints a tier balances over all of them; 0 never does. */
  readonly panicPercent: number;
}

/** Percent of the traffic for each tier; together 100, or 0 when nothing may be tried. Computed when health changes. */
export interface TrafficPlan {
  /** For the healthy endpoints of the tier; in panic for all of its endpoints. */
  readonly healthyPercent: readonly number[];
  /** For its degraded endpoints. */
  readonly degradedPercent: readonly number[];
  readonly panic: readonly boolean[];
}

export function planTraffic(tiers: readonly TierHealth[], options: DegradationOptions): TrafficPlan {
  const healthy = tiers.map((tier) => score(tier.healthy, tier.total, options));
  const degraded = tiers.map((tier) => score(tier.degraded, tier.total, options));
  const sum = Math.min(100, total(healthy) + total(degraded));
  const panic = tiers.map((tier) => sum < 100 && isInPanic(tier, options));
  if (sum === 0) return withNothingLeft(tiers, panic);
  const healthyPercent = split(healthy, sum, 100);
  const degradedPercent = split(degraded, sum, 100 - total(healthyPercent));
  giveRemainder(healthyPercent, degradedPercent);
  for (let tier = 0; tier < tiers.length; tier++) {
    if (panic[tier] !== true) continue;
    // In panic there is no difference between its endpoints any more.
    healthyPercent[tier] = (healthyPercent[tier] as number) + (degradedPercent[tier] as number);
    degradedPercent[tier] = 0;
  }
  return { healthyPercent, degradedPercent, panic };
}

/** Where one exchange goes. */
export interface Share {
  /** Index of the tier; -1 when nothing may be tried. */
  tier: number;
  endpoints: "healthy" | "degraded" | "all";
}

/** Turns a draw, uniform in 0 to 1, into the share that takes this exchange. Writes into `into`. */
export function chooseShare(plan: TrafficPlan, draw: number, into: Share): void {
  let left = draw * 100;
  into.tier = -1;
  for (let tier = 0; tier < plan.healthyPercent.length; tier++) {
    const percent = plan.healthyPercent[tier] as number;
    if (percent === 0) continue;
    into.tier = tier;
    into.endpoints = plan.panic[tier] === true ? "all" : "healthy";
    if (left < percent) return;
    left -= percent;
  }
  for (let tier = 0; tier < plan.degradedPercent.length; tier++) {
    const percent = plan.degradedPercent[tier] as number;
    if (percent === 0) continue;
    into.tier = tier;
    into.endpoints = "degraded";
    if (left < percent) return;
    left -= percent;
  }
}

/** Percent of the whole load that these endpoints can carry: a whole number, as Envoy rounds it. */
function score(count: number, of: number, { overprovisioningPercent }: DegradationOptions): number {
  return of === 0 ? 0 : Math.min(100, Math.floor((overprovisioningPercent * count) / of));
}

function isInPanic(tier: TierHealth, { panicPercent }: DegradationOptions): boolean {
  return tier.total > 0 && (tier.healthy + tier.degraded) * 100 < tier.total * panicPercent;
}

/** Not one endpoint is available: the first tier that has any takes a chance with all of them, unless panic is off. */
function withNothingLeft(tiers: readonly TierHealth[], panic: readonly boolean[]): TrafficPlan {
  const first = panic.indexOf(true);
  return {
    healthyPercent: tiers.map((_, tier) => (tier === first ? 100 : 0)),
    degradedPercent: tiers.map(() => 0),
    panic,
  };
}

/** Each takes what it can carry, scaled up when all together cannot carry everything, until nothing is left to take. */
function split(scores: readonly number[], sum: number, available: number): number[] {
  let left = available;
  return scores.map((each) => {
    const share = Math.min(left, Math.round((each * 100) / sum));
    left -= share;
    return share;
  });
}

/** What rounding left over goes to the first that has a share at all. */
function giveRemainder(healthyPercent: number[], degradedPercent: number[]): void {
  const left = 100 - total(healthyPercent) - total(degradedPercent);
  if (left === 0) return;
  const shares = healthyPercent.some((percent) => percent > 0) ? healthyPercent : degradedPercent;
  const first = shares.findIndex((percent) => percent > 0);
  shares[first] = (shares[first] as number) + left;
}

function total(percents: readonly number[]): number {
  return percents.reduce((sum, percent) => sum + percent, 0);
}
