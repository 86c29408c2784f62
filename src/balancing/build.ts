import type { AlgorithmDefinition, BalancedEndpoint, Balancer, BuildContext } from "./definition.ts";
import { algorithms } from "./registry.ts";
import type { BalanceConfig } from "./schema.ts";

/**
 * Builds the balancer that a pool's settings ask for, over one fixed list of endpoints. `weightUnit`: what an endpoint of
 * weight 1 shows as its weight.
 */
export function buildBalancer<E extends BalancedEndpoint>(
  config: BalanceConfig,
  endpoints: readonly E[],
  context: BuildContext,
  weightUnit = 1,
): Balancer<E> {
  const { algorithm, ...options } = config;
  // A ring has points by weight: in finer units of weight there are as many as before, at the same places.
  if ("points" in options) options.points /= weightUnit;
  return (algorithms[algorithm] as AlgorithmDefinition).build(endpoints, options, context) as unknown as Balancer<E>;
}
