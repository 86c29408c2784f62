/**
 * First: the first endpoint in order that has room. With `maxConnections` it fills one up before it uses the next.
 * Cost: O(n). Choose it to keep as few endpoints busy as possible (to stop the others), or for active and standby.
 */
import { defineAlgorithm } from "./definition.ts";
import { isOpen, noOptions } from "./options.ts";

export const first = defineAlgorithm({
  summary: "first in order that has room",
  cost: "O(n)",
  keyed: false,
  weighted: false,
  options: noOptions,
  build(endpoints) {
    return {
      pick(_key, tried) {
        for (const endpoint of endpoints) if (isOpen(endpoint, tried)) return endpoint;
        return undefined;
      },
    };
  },
});
