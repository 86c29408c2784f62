/**
 * Round robin: one after another, in order.
 * Cost: O(1) while endpoints are healthy. Choose it for equal endpoints and equal requests; not when either differs
 * much: it looks at nothing. Weights are honoured by weighted-round-robin.
 */
import { defineAlgorithm } from "./definition.ts";
import { isOpen, noOptions } from "./options.ts";

export const roundRobin = defineAlgorithm({
  summary: "one after another",
  cost: "O(1)",
  keyed: false,
  weighted: false,
  options: noOptions,
  build(endpoints, _options, { random }) {
    // Workers start at different places, so that they do not all send their first request to the same endpoint.
    let next = endpoints.length === 0 ? 0 : random.below(endpoints.length);
    return {
      pick(_key, tried) {
        for (let step = 0; step < endpoints.length; step++) {
          const endpoint = endpoints[next];
          next = next + 1 === endpoints.length ? 0 : next + 1;
          if (endpoint !== undefined && isOpen(endpoint, tried)) return endpoint;
        }
        return undefined;
      },
    };
  },
});
