/** What picks among the endpoints of one tier: the pool's algorithm, over all of them or over this worker's subset. */
import { buildBalancer } from "../balancing/build.ts";
import type { Balancer, BuildContext } from "../balancing/definition.ts";
import { subsetClient } from "../balancing/subset.ts";
import { balanceSubset, type SubsetEndpoint } from "../balancing/subset-balancer.ts";
import type { PoolConfig } from "./schema.ts";

export interface TierPlace extends BuildContext {
  readonly worker: number;
  readonly workers: number;
}

/** `weightUnit`: what weight 1 is in the shared table. */
export function buildTierBalancer<E extends SubsetEndpoint>(
  { balance, subset }: Pick<PoolConfig, "balance" | "subset">,
  members: readonly E[],
  weightUnit: number,
  { random, clock, worker, workers }: TierPlace,
): Balancer<E> {
  const build = (some: readonly E[]): Balancer<E> => buildBalancer(balance, some, { random, clock }, weightUnit);
  if (subset === undefined) return build(members);
  const { size, instance, instances } = subset;
  return balanceSubset(members, { size, client: subsetClient(worker, workers, instance, instances), clock, build });
}
