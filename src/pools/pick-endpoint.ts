import type { Endpoint } from "../upstreams/endpoint.ts";
import type { PoolView } from "./pool.ts";

/** Two workers may meet at an endpoint's last place; the one that comes second looks again this many times. */
const MAX_COLLISIONS = 3;

/**
 * Picks an endpoint and counts the exchange in on it (undo with `endpoint.release()`). Undefined when none can take it:
 * `hasFullEndpoint` tells whether waiting would help.
 */
export function pickEndpoint(
  view: PoolView,
  key: number,
  tried: readonly Endpoint[] | undefined,
): Endpoint | undefined {
  const { tiers } = view;
  for (let tier = 0; tier < tiers.length; tier++) {
    for (let collisions = 0; collisions < MAX_COLLISIONS; collisions++) {
      const endpoint = tiers[tier]?.pick(key, tried);
      if (endpoint === undefined) break;
      if (endpoint.acquire()) return endpoint;
    }
  }
  return undefined;
}

/** Whether some healthy endpoint is only waiting for one of its exchanges to end. */
export function hasFullEndpoint(view: PoolView): boolean {
  return view.endpoints.some((endpoint) => endpoint.full);
}
