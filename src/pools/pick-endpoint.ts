import type { ErrorCode } from "../base/errors.ts";
import { type Admission, PASSED, REFUSED } from "../resilience/circuit-breaker.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { PoolView } from "./pool.ts";
import { DegradedEndpoint } from "./stand-in.ts";

/** Two workers may meet at an endpoint's last place; the one that comes second looks again this many times. */
const MAX_COLLISIONS = 3;

/**
 * Picks an endpoint and counts the exchange in on it (undo with `endpoint.release()`). Undefined when none can take it:
 * `isWorthWaiting` tells whether waiting would help. `preferred`, the endpoint of a session, goes before what the
 * balancer would say, also when it is draining.
 */
export function pickEndpoint(
  view: PoolView,
  key: number,
  tried: readonly Endpoint[] | undefined,
  preferred?: Endpoint,
): Endpoint | undefined {
  if (preferred !== undefined && tried?.includes(preferred) !== true) {
    if (takeForSession(view, preferred)) return preferred;
    // A place on it becomes free: better to wait than to lose the session.
    if (preferred.fullForSessions) return undefined;
  }
  const { tiers, degraded, plan } = view;
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
  return degraded === undefined ? undefined : pickDegraded(view, key, tried);
}

/** No tier has a healthy endpoint to offer. */
function pickDegraded(
  { degraded = [] }: PoolView,
  key: number,
  tried: readonly Endpoint[] | undefined,
): Endpoint | undefined {
  const passedOver = tried?.map((endpoint) => DegradedEndpoint.of(endpoint));
  for (const balancer of degraded) {
    for (let collisions = 0; collisions < MAX_COLLISIONS; collisions++) {
      const endpoint = balancer.pick(key, passedOver)?.endpoint;
      if (endpoint === undefined) break;
      if (endpoint.acquire()) return endpoint;
    }
  }
  return undefined;
}

/** Whether what belongs to sessions of this endpoint may go there: also while it drains, and in panic whatever checks say. */
export function takesSessions({ plan }: PoolView, endpoint: Endpoint): boolean {
  return endpoint.acceptsSessions || plan?.triesAnyway(endpoint) === true;
}

/** Whoever looks for an endpoint, as far as it tells which ones are worth waiting for. */
export interface Waiting {
  /** The endpoint of its session, if it has one: also waited for while it drains. */
  readonly preferred?: Endpoint | undefined;
  /** It goes to `preferred` or nowhere. */
  readonly isBound?: boolean;
  /** The time, for circuits; undefined for those who take no notice of them. */
  readonly nowMs?: number;
}

/** Whether some endpoint that could take it is only waiting for one of its exchanges to end. */
export function isWorthWaiting(view: PoolView, { preferred, isBound, nowMs }: Waiting): boolean {
  if (preferred?.fullForSessions === true && !isKeptBack(view, preferred, nowMs)) return true;
  return isBound !== true && view.endpoints.some((endpoint) => endpoint.full && !isKeptBack(view, endpoint, nowMs));
}

function isKeptBack({ hasCircuits, guards }: PoolView, endpoint: Endpoint, nowMs: number | undefined): boolean {
  return hasCircuits && nowMs !== undefined && guards?.get(endpoint)?.isOpen(nowMs) === true;
}

function takeForSession(view: PoolView, endpoint: Endpoint): boolean {
  if (!takesSessions(view, endpoint) || !takePlace(endpoint)) return false;
  if (!endpoint.acceptsSessions) view.plan?.onPanic();
  return true;
}

function takePlace(endpoint: Endpoint): boolean {
  for (let collisions = 0; collisions < MAX_COLLISIONS; collisions++) {
    if (endpoint.acquire()) return true;
    if (!endpoint.hasRoom) return false;
  }
  return false;
}

/** What the endpoint's circuit let in must be given to its guard when it has ended. */
export interface PickedEndpoint {
  readonly endpoint: Endpoint;
  readonly admission: Admission;
}

/** The same for pools whose endpoints have circuits: passes over those that are open. */
export function pickPastOpenCircuits(
  view: PoolView,
  key: number,
  tried: readonly Endpoint[] | undefined,
  nowMs: number,
  preferred?: Endpoint,
): PickedEndpoint | undefined {
  let passedOver = tried;
  // It is not waited for, be it full or not.
  const own = preferred === undefined || isKeptBack(view, preferred, nowMs) ? undefined : preferred;
  for (;;) {
    const endpoint = pickEndpoint(view, key, passedOver, own);
    if (endpoint === undefined) return undefined;
    const picked = admit(view, endpoint, nowMs);
    if (picked !== undefined) return picked;
    passedOver = passedOver === undefined ? [endpoint] : [...passedOver, endpoint];
  }
}

/** This endpoint, for what belongs to a session of its own, or none. */
export function pickOnly(view: PoolView, endpoint: Endpoint, nowMs: number): PickedEndpoint | undefined {
  return takeForSession(view, endpoint) ? admit(view, endpoint, nowMs) : undefined;
}

/** Asks the circuit of an endpoint that was picked; gives its place back when that says no. */
function admit(view: PoolView, endpoint: Endpoint, nowMs: number): PickedEndpoint | undefined {
  const admission = view.guards?.get(endpoint)?.admit(nowMs) ?? PASSED;
  if (admission !== REFUSED) return { endpoint, admission };
  endpoint.release();
  return undefined;
}

/** Why nothing was picked and nothing is worth waiting for: one that could take it can only be kept back by its circuit. */
export function reasonForNone({ hasCircuits, endpoints }: PoolView, { isBound }: Waiting): ErrorCode {
  if (endpoints.some(({ blocked }) => blocked)) return "E_REQUIRED_POOL";
  if (isBound === true) return "E_SESSION_ENDPOINT";
  const hasOpen = hasCircuits && endpoints.some(couldTakeIt);
  return hasOpen ? "E_CIRCUIT_OPEN" : "E_NO_ENDPOINT";
}

function couldTakeIt({ available, degraded, weight }: Endpoint): boolean {
  return (available || degraded) && weight > 0;
}
