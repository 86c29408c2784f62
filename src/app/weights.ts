/** In which unit the weights of a pool stand in the shared table, and what they come to. */
import { hasAgent } from "../health/schema.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { slowStartOptions } from "../resilience/options.ts";
import { effectiveWeight, WEIGHT_SCALE } from "../resilience/slow-start.ts";

const MAX_WEIGHT = 1_000;

/** What weight 1 is in the table. Only pools whose endpoints may have a part of their weight need fine units. */
export function weightUnitOf({ slowStart, health }: PoolConfig): number {
  return slowStart !== false || hasAgent(health) ? WEIGHT_SCALE : 1;
}

/** What counts of a weight, in that unit. `agentPercent`: what its agent wants of it. `ageMs`: how long it has been warming up. */
export function countedWeight(config: PoolConfig, weight: number, agentPercent: number, ageMs: number): number {
  if (weightUnitOf(config) === 1) return weight;
  const wanted = Math.min(MAX_WEIGHT, (weight * agentPercent) / 100);
  return effectiveWeight(wanted, ageMs, slowStartOptions(config.slowStart));
}
