import type { AlgorithmDefinition, BalancedEndpoint, Balancer, BuildContext } from "./definition.ts";
import { algorithms } from "./registry.ts";
import type { BalanceConfig } from "./schema.ts";

/** Builds the balancer that a pool's settings ask for, over one fixed list of endpoints. */
export function buildBalancer<E extends BalancedEndpoint>(
  config: BalanceConfig,
  endpoints: readonly E[],
  context: BuildContext,
): Balancer<E> {
  const { algorithm, ...options } = config;
  return (algorithms[algorithm] as AlgorithmDefinition).build(endpoints, options, context) as unknown as Balancer<E>;
}
