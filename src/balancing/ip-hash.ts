/**
 * Hash modulo n, as the textbooks have it; usually of the client's address. Weights by repetition.
 * Cost: O(1). Choose it for a fixed set of endpoints; when one is added or removed nearly every key moves: the rings,
 * maglev and rendezvous are better there. While an endpoint is out its keys go on to the next in order.
 */
import { mix32 } from "../base/hash.ts";
import { type BalancedEndpoint, defineAlgorithm } from "./definition.ts";
import { isOpen, noOptions } from "./options.ts";

export const ipHash = defineAlgorithm({
  summary: "hash of the key modulo the number of endpoints",
  cost: "O(1)",
  keyed: true,
  weighted: true,
  options: noOptions,
  build(endpoints) {
    let slots: BalancedEndpoint[] = [];
    const fill = (): void => {
      slots = endpoints.flatMap((endpoint) => new Array<BalancedEndpoint>(endpoint.weight).fill(endpoint));
    };
    fill();
    return {
      pick(key, tried) {
        if (slots.length === 0) return undefined;
        let slot = key % slots.length;
        for (let step = 0; step < slots.length; step++) {
          const endpoint = slots[slot]!;
          if (isOpen(endpoint, tried)) return endpoint;
          // Further steps are drawn from the key, so that the keys of one endpoint spread over the others.
          slot = step < 8 ? mix32(key + step + 1) % slots.length : (slot + 1) % slots.length;
        }
        return slots.find((endpoint) => isOpen(endpoint, tried));
      },
      onWeightChanged: fill,
    };
  },
});
