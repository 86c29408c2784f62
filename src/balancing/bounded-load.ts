/** How many exchanges an endpoint may have under a bound on its load, with the rounding that HAProxy uses. */
import type { BalancedEndpoint } from "./definition.ts";

/**
 * The slots of `endpoints[index]`: all slots are `factor` percent of what is in flight with one more, given out by weight
 * so that they add up; at least one.
 */
export function slotsOf(endpoints: readonly BalancedEndpoint[], index: number, factor: number): number {
  let inFlight = 0;
  let totalWeight = 0;
  let weightBefore = 0;
  for (let at = 0; at < endpoints.length; at++) {
    const endpoint = endpoints[at]!;
    if (!endpoint.eligible) continue;
    inFlight += endpoint.active;
    totalWeight += endpoint.weight;
    if (at < index) weightBefore += endpoint.weight;
  }
  const { weight } = endpoints[index]!;
  if (totalWeight === 0) return 1;
  const total = Math.ceil(((inFlight + 1) * factor) / 100);
  const each = Math.floor(total / totalWeight);
  const rest = total % totalWeight;
  const share =
    Math.floor(((weightBefore + weight) * rest) / totalWeight) - Math.floor((weightBefore * rest) / totalWeight);
  return Math.max(1, weight * each + share);
}
