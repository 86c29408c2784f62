/**
 * Random, by weight.
 * Cost: O(n). Choose it where many balancers must not march in step and nothing is known of the load; power-of-two-choices
 * is nearly always better.
 */
import { type BalancedEndpoint, defineAlgorithm } from "./definition.ts";
import { isOpen, noOptions } from "./options.ts";

export const random = defineAlgorithm({
  summary: "drawn by weight",
  cost: "O(n)",
  keyed: false,
  weighted: true,
  options: noOptions,
  build(endpoints, _options, context) {
    return {
      pick(_key, tried) {
        let total = 0;
        for (const endpoint of endpoints) if (isOpen(endpoint, tried)) total += endpoint.weight;
        let point = context.random.next() * total;
        let last: BalancedEndpoint | undefined;
        for (const endpoint of endpoints) {
          if (!isOpen(endpoint, tried)) continue;
          last = endpoint;
          point -= endpoint.weight;
          if (point < 0) return endpoint;
        }
        return last;
      },
    };
  },
});
