/** The contract between a pool and the algorithm that picks among its endpoints. */
import type { z } from "zod";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";

/** What an algorithm may know of an endpoint. The data path reads `eligible` and `active` from shared memory. */
export interface BalancedEndpoint {
  /** Stable identity, hashed by the consistent algorithms: `"10.0.0.1:80"`. */
  readonly id: string;
  /** Relative share of the traffic, a positive integer; 0 takes it out. May change while running (slow start, operator). */
  readonly weight: number;
  /** May be picked now: health, drain, ejection and capacity folded into one answer. */
  readonly eligible: boolean;
  /** Requests (or connections) in flight now, over all workers. */
  readonly active: number;
}

/** A built algorithm over one fixed list of endpoints. `pick` is hot: no allocation, no parsing, no I/O. */
export interface Balancer<E extends BalancedEndpoint = BalancedEndpoint> {
  /**
   * The endpoint to use, or undefined when none is eligible. `key` is an unsigned 32-bit hash (0 for algorithms that
   * are not keyed); endpoints in `tried` are passed over (a retry must go elsewhere).
   */
  pick(key: number, tried: readonly E[] | undefined): E | undefined;
  /** An exchange ended on `endpoint`, `latencyMs` after it was sent (to the first byte of the answer). */
  onRelease?(endpoint: E, latencyMs: number, failed: boolean): void;
  /** The weight of `endpoint` changed. Algorithms that read weights on every pick need not listen. */
  onWeightChanged?(endpoint: E): void;
}

export interface BuildContext {
  readonly random: Random;
  readonly clock: Clock;
}

export interface AlgorithmDefinition<Schema extends z.ZodObject = z.ZodObject> {
  /** Half a sentence for the reference page: `"least busy of two sampled at random"`. */
  readonly summary: string;
  /** Cost of one pick over n endpoints: `"O(1)"`. */
  readonly cost: string;
  /** Does it map a key to an endpoint? */
  readonly keyed: boolean;
  /** Does it honour weights? */
  readonly weighted: boolean;
  /** Options beside `algorithm` and `key`, each with a default and a description (a `z.strictObject`). */
  readonly options: Schema;
  /** Returns only endpoints of the list it was given; `buildBalancer` restores their type. */
  build(endpoints: readonly BalancedEndpoint[], options: z.output<Schema>, context: BuildContext): Balancer;
}

/** Identity function that gives a definition its types. */
export function defineAlgorithm<Schema extends z.ZodObject>(
  definition: AlgorithmDefinition<Schema>,
): AlgorithmDefinition<Schema> {
  return definition;
}
