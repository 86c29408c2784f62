/** Shares traffic by weight: the same key always to the same part, and a change of weights moves only what it must. */
import type { Random } from "../base/random.ts";

export interface Split {
  /** Index of the part for a key's hash (unsigned 32 bits); without a key it is drawn. */
  pick(keyHash: number | undefined): number;
}

/** `weights` sum to more than nothing. Parts keep their order, so moving weight from one to the next moves just that share. */
export function compileSplit(weights: readonly number[], random: Random): Split {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const bounds: number[] = [];
  let sum = 0;
  for (const weight of weights) {
    sum += weight;
    bounds.push(sum / total);
  }
  return {
    pick(keyHash) {
      const point = keyHash === undefined ? random.next() : keyHash / 0x1_0000_0000;
      for (let part = 0; part < bounds.length - 1; part++) if (point < (bounds[part] as number)) return part;
      return lastWithWeight(weights);
    },
  };
}

function lastWithWeight(weights: readonly number[]): number {
  return weights.findLastIndex((weight) => weight > 0);
}
