import type { ErrorCode } from "../base/errors.ts";
import { type Admission, PASSED, REFUSED } from "../resilience/circuit-breaker.ts";
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
  const { tiers, plan } = view;
  const planned = plan?.pick(key, tried);
  // Whatever tier it fell to, another is better than none.
  if (planned?.acquire() === true) return planned;
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

/**
 * The same for pools whose endpoints have circuits: passes over those that are open. What it admits must be given to the
 * endpoint's guard when it has ended.
 */
export function pickPastOpenCircuits(
  view: PoolView,
  key: number,
  tried: readonly Endpoint[] | undefined,
  nowMs: number,
): { readonly endpoint: Endpoint; readonly admission: Admission } | undefined {
  let passedOver = tried;
  for (;;) {
    const endpoint = pickEndpoint(view, key, passedOver);
    if (endpoint === undefined) return undefined;
    const admission = view.guards?.get(endpoint)?.admit(nowMs) ?? PASSED;
    if (admission !== REFUSED) return { endpoint, admission };
    endpoint.release();
    passedOver = passedOver === undefined ? [endpoint] : [...passedOver, endpoint];
  }
}

/** Why nothing was picked although nothing is full: an endpoint that could take it can only be kept back by its circuit. */
export function reasonForNone({ hasCircuits, endpoints }: PoolView): ErrorCode {
  const isKeptBack = hasCircuits && endpoints.some(({ eligible, weight }) => eligible && weight > 0);
  return isKeptBack ? "E_CIRCUIT_OPEN" : "E_NO_ENDPOINT";
}
