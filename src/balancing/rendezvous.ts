/**
 * Rendezvous (highest random weight): every endpoint draws a score from the key, the highest wins. Needs no table, moves
 * only the keys of what leaves, honours weights exactly. Cost: O(n), so choose it for small pools.
 * Source: Thaler and Ravishankar, 1998; weights after Schindelhauer and Schomaker.
 */
import { hashString, mix32 } from "../base/hash.ts";
import { type BalancedEndpoint, defineAlgorithm } from "./definition.ts";
import { inOrderOfId, isOpen, noOptions } from "./options.ts";

export const rendezvous = defineAlgorithm({
  summary: "highest score drawn from key and endpoint",
  cost: "O(n)",
  keyed: true,
  weighted: true,
  options: noOptions,
  build(listed) {
    const endpoints = inOrderOfId(listed);
    const seeds = endpoints.map(({ id }) => hashString(id));
    return {
      pick(key, tried) {
        let best: BalancedEndpoint | undefined;
        let bestScore = -1;
        for (let index = 0; index < endpoints.length; index++) {
          const endpoint = endpoints[index]!;
          if (!isOpen(endpoint, tried)) continue;
          const draw = (mix32(key ^ (seeds[index] as number)) + 0.5) / 0x1_0000_0000;
          const score = -endpoint.weight / Math.log(draw);
          if (score > bestScore) {
            bestScore = score;
            best = endpoint;
          }
        }
        return best;
      },
    };
  },
});
