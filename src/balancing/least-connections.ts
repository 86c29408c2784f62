/**
 * Least connections: the endpoint with the fewest exchanges in flight for its weight; equals take turns.
 * Cost: O(n). Choose it when exchanges differ much in length (WebSocket, databases, uploads); for hundreds of endpoints,
 * or many balancers in front of the same ones, power-of-two-choices is cheaper and avoids herds.
 */
import { type BalancedEndpoint, defineAlgorithm } from "./definition.ts";
import { isOpen, load, noOptions } from "./options.ts";

export const leastConnections = defineAlgorithm({
  summary: "fewest in flight for its weight",
  cost: "O(n)",
  keyed: false,
  weighted: true,
  options: noOptions,
  build(endpoints) {
    // Among equals smooth weighted round robin decides, so that idle endpoints share by weight.
    const credit = new Float64Array(endpoints.length);
    return {
      pick(_key, tried) {
        let least: BalancedEndpoint | undefined;
        for (const endpoint of endpoints) {
          if (isOpen(endpoint, tried) && (least === undefined || load(least, endpoint) > 0)) least = endpoint;
        }
        if (least === undefined) return undefined;
        let total = 0;
        let best = -1;
        for (let index = 0; index < endpoints.length; index++) {
          const endpoint = endpoints[index]!;
          if (!isOpen(endpoint, tried) || load(endpoint, least) > 0) continue;
          total += endpoint.weight;
          const earned = (credit[index] as number) + endpoint.weight;
          credit[index] = earned;
          if (best < 0 || earned > (credit[best] as number)) best = index;
        }
        // Another worker may have changed the numbers between the two looks.
        if (best < 0) return least;
        credit[best] = (credit[best] as number) - total;
        return endpoints[best];
      },
    };
  },
});
