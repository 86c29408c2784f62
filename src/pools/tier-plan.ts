/**
 * Shares traffic over the tiers of a pool by how many endpoints of each are well, where a pool wants more than one tier after
 * the other: a tier spills over before it is empty, and when too few are left anywhere, all are tried (panic).
 */
import type { Balancer } from "../balancing/definition.ts";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import {
  chooseShare,
  type DegradationOptions,
  planTraffic,
  type Share,
  type TierHealth,
  type TrafficPlan,
} from "../resilience/degradation.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { AnywayEndpoint, DegradedEndpoint } from "./stand-in.ts";

/** Health changes seldom; asking every endpoint for every request would cost more than being this late. */
const KEEP_MS = 100;

export interface PlanOptions extends DegradationOptions {
  /** Not one endpoint is available: all are tried. Otherwise requests are refused. */
  readonly failOpen: boolean;
}

export interface PlannedTier {
  readonly members: readonly Endpoint[];
  readonly balancer: Balancer<Endpoint>;
  /** Over the degraded ones; undefined where endpoints cannot be degraded. */
  readonly degraded: Balancer<DegradedEndpoint> | undefined;
  /** Over all members, well or not. */
  readonly anyway: Balancer<AnywayEndpoint>;
}

/** Endpoints without weight, and those of a pool that must not be used, are not to be counted in. */
export function planFor(tiers: readonly TierHealth[], options: PlanOptions): TrafficPlan {
  const isEmpty = tiers.every(({ healthy, degraded }) => healthy + degraded === 0);
  const panicPercent = !isEmpty ? options.panicPercent : options.failOpen ? Math.max(1, options.panicPercent) : 0;
  return planTraffic(tiers, { ...options, panicPercent });
}

export class TierPlan {
  readonly #tiers: readonly PlannedTier[];
  readonly #options: PlanOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #isKeyed: boolean;
  /** To be called for sessions that stay on an endpoint which is not well. */
  readonly onPanic: () => void;
  readonly #share: Share = { tier: -1, endpoints: "healthy" };
  #plan: TrafficPlan = { healthyPercent: [], degradedPercent: [], panic: [] };
  #plannedMs = Number.NEGATIVE_INFINITY;

  /** `onPanic` is called for every request that goes to a tier in panic. With `isKeyed` equal keys go to equal tiers. */
  constructor(
    tiers: readonly PlannedTier[],
    options: PlanOptions,
    clock: Clock,
    random: Random,
    isKeyed: boolean,
    onPanic: () => void,
  ) {
    this.#tiers = tiers;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#isKeyed = isKeyed;
    this.onPanic = onPanic;
  }

  /** An endpoint of the tier that this request falls to; undefined when that one has none to offer. */
  pick(key: number, tried: readonly Endpoint[] | undefined): Endpoint | undefined {
    this.#look();
    // Spread, so that neighbouring keys do not fall to one tier.
    const draw = this.#isKeyed ? (Math.imul(key, 0x9e3779b1) >>> 0) / 2 ** 32 : this.#random.next();
    chooseShare(this.#plan, draw, this.#share);
    const tier = this.#tiers[this.#share.tier];
    if (tier === undefined) return undefined;
    if (this.#share.endpoints === "healthy") return tier.balancer.pick(key, tried);
    const triedOfTier = tried?.filter((endpoint) => tier.members.includes(endpoint));
    if (this.#share.endpoints === "degraded")
      return tier.degraded?.pick(
        key,
        triedOfTier?.map((endpoint) => DegradedEndpoint.of(endpoint)),
      )?.endpoint;
    const passedOver = triedOfTier?.map((endpoint) => AnywayEndpoint.of(endpoint));
    const picked = tier.anyway.pick(key, passedOver)?.endpoint;
    if (picked !== undefined) this.onPanic();
    return picked;
  }

  /** Weights have changed: what was built from them is built anew. */
  weightsChanged(): void {
    for (const { members, anyway } of this.#tiers) {
      const [first] = members;
      if (first !== undefined) anyway.onWeightChanged?.(AnywayEndpoint.of(first));
    }
  }

  /** Its tier is in panic, where its sessions stay: no other endpoint is any better. */
  triesAnyway(endpoint: Endpoint): boolean {
    this.#look();
    const { panic, healthyPercent } = this.#plan;
    const tier = this.#tiers.findIndex(({ members }) => members[0]?.tier === endpoint.tier);
    return panic[tier] === true && (healthyPercent[tier] as number) > 0 && endpoint.mayBeTried;
  }

  #look(): void {
    const nowMs = this.#clock.now();
    if (nowMs - this.#plannedMs < KEEP_MS) return;
    this.#plannedMs = nowMs;
    this.#plan = planFor(
      this.#tiers.map(({ members }) => healthOf(members)),
      this.#options,
    );
  }
}

function healthOf(members: readonly Endpoint[]): TierHealth {
  let total = 0;
  let healthy = 0;
  let degraded = 0;
  for (const member of members) {
    if (member.weight === 0 || member.blocked) continue;
    total++;
    if (member.available) healthy++;
    else if (member.degraded) degraded++;
  }
  return { total, healthy, degraded };
}
