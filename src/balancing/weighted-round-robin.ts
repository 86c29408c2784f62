/**
 * Smooth weighted round robin, as in nginx: shares by weight, spread as evenly as possible (5,1,1 gives a a b a c a a).
 * Cost: O(n). Choose it for endpoints of known, different strength; not for thousands of endpoints, nor when requests
 * differ much in cost (least-connections sees that).
 */
import { defineAlgorithm } from "./definition.ts";
import { isOpen, noOptions } from "./options.ts";

export const weightedRoundRobin = defineAlgorithm({
  summary: "shares by weight, spread evenly in time",
  cost: "O(n)",
  keyed: false,
  weighted: true,
  options: noOptions,
  build(endpoints) {
    const credit = new Float64Array(endpoints.length);
    return {
      pick(_key, tried) {
        let total = 0;
        let best = -1;
        for (let index = 0; index < endpoints.length; index++) {
          const endpoint = endpoints[index]!;
          if (!isOpen(endpoint, tried)) continue;
          total += endpoint.weight;
          const earned = (credit[index] as number) + endpoint.weight;
          credit[index] = earned;
          if (best < 0 || earned > (credit[best] as number)) best = index;
        }
        if (best < 0) return undefined;
        credit[best] = (credit[best] as number) - total;
        return endpoints[best];
      },
    };
  },
});
