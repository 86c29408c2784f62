import type { Endpoint } from "../upstreams/endpoint.ts";
import type { PoolView } from "./pool.ts";

/** Two workers may meet at an endpoint's last place; the one that comes second looks again this many times. */
const MAX_COLLISIONS = 3;

/**
 * Picks an endpoint and counts the exchange in on it (undo with `endpoint.release()`). Undefined when none can take it:
 * `hasFullEndpoint` tells whether waiting would help. `preferred`, the endpoint of a session, goes before what the
 * balancer would say, also when it is draining.
 */
export function pickEndpoint(
  view: PoolView,
  key: number,
  tried: readonly Endpoint[] | undefined,
  preferred?: Endpoint,
): Endpoint | undefined {
  if (preferred?.acceptsSessions === true && tried?.includes(preferred) !== true) {
    if (preferred.acquire()) return preferred;
    // A place on it becomes free: better to wait than to lose the session.
    if (preferred.fullForSessions) return undefined;
  }
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
