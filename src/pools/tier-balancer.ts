/** What picks among the endpoints of one tier: the pool's algorithm, over all of them or over this worker's subset. */
import { buildBalancer } from "../balancing/build.ts";
import type { Balancer, BuildContext } from "../balancing/definition.ts";
import { subsetClient } from "../balancing/subset.ts";
import { balanceSubset, type SubsetEndpoint } from "../balancing/subset-balancer.ts";
import { WEIGHT_SCALE } from "../resilience/slow-start.ts";
import type { PoolConfig } from "./schema.ts";

export interface TierPlace extends BuildContext {
  readonly worker: number;
  readonly workers: number;
}

export function buildTierBalancer<E extends SubsetEndpoint>(
  { balance, slowStart, subset }: Pick<PoolConfig, "balance" | "slowStart" | "subset">,
  members: readonly E[],
  place: TierPlace,
): Balancer<E> {
  const { random, clock, worker, workers } = place;
  const weightUnit = slowStart === false ? 1 : WEIGHT_SCALE;
  const build = (some: readonly E[]): Balancer<E> => buildBalancer(balance, some, { random, clock }, weightUnit);
  if (subset === undefined) return build(members);
  const { size, instance, instances } = subset;
  return balanceSubset(members, { size, client: subsetClient(worker, workers, instance, instances), clock, build });
}
