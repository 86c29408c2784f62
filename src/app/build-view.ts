/** What picks among the endpoints of a pool: a balancer for each tier, those who watch, and a plan where one is wanted. */
import type { Balancer } from "../balancing/definition.ts";
import type { SubsetEndpoint } from "../balancing/subset-balancer.ts";
import { canDegrade } from "../health/schema.ts";
import type { PoolView } from "../pools/pool.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { DegradedEndpoint } from "../pools/stand-in.ts";
import { buildTierBalancer, type TierPlace } from "../pools/tier-balancer.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { PoolPlace, PoolPolicies } from "./pool-policies.ts";
import { weightUnitOf } from "./weights.ts";

export function buildView(
  pool: PoolPlace & { readonly config: PoolConfig },
  endpoints: readonly Endpoint[],
  policies: PoolPolicies,
  place: TierPlace,
): PoolView {
  const { config } = pool;
  const weightUnit = weightUnitOf(config);
  const build = <E extends SubsetEndpoint>(members: readonly E[]): Balancer<E> =>
    buildTierBalancer(config, members, weightUnit, place);
  const numbers = [...new Set(endpoints.map((endpoint) => endpoint.tier))].sort((a, b) => a - b);
  const byTier = numbers.map((tier) => endpoints.filter((endpoint) => endpoint.tier === tier));
  const watching = new Map<Endpoint, Balancer<Endpoint>>();
  const tiers = byTier.map((members) => {
    const balancer = build(members);
    if (balancer.onRelease !== undefined) for (const member of members) watching.set(member, balancer);
    return balancer;
  });
  const observers = watching.size === 0 ? undefined : watching;
  const degraded = canDegrade(config.health)
    ? byTier.map((members) => build(members.map((member) => DegradedEndpoint.of(member))))
    : undefined;
  const guards = policies.guards(pool, config, endpoints);
  const hasCircuits = guards !== undefined && [...guards.values()].some(({ breaker }) => breaker !== undefined);
  const plan = policies.plan(pool, config, byTier, tiers, degraded, build);
  return { endpoints, tiers, degraded, observers, guards, hasCircuits, plan };
}
