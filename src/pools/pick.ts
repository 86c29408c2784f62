/** Which endpoint a try goes to, by its session if it has one. What is picked is counted in on its endpoint. */
import { type Admission, PASSED } from "../resilience/circuit-breaker.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { type PickedEndpoint, pickEndpoint, pickOnly, pickPastOpenCircuits } from "./pick-endpoint.ts";
import type { Pool } from "./pool.ts";
import type { PoolSession } from "./pool-session.ts";

/** Whoever needs an endpoint. */
export interface Picking {
  /** What the pool's algorithm hashes. */
  readonly key: number;
  readonly nowMs: number;
  readonly sessionInUse: PoolSession | undefined;
  /** How the circuit of the endpoint that was picked last let it pass. */
  admission: Admission;
}

/** One that is none of `tried`, unless its session allows no other. */
export function pick(picking: Picking, { view }: Pool, tried: readonly Endpoint[] | undefined): Endpoint | undefined {
  const session = picking.sessionInUse;
  const preferred = session?.preferred;
  if (session?.isBound === true)
    return preferred === undefined ? undefined : admitted(picking, pickOnly(view, preferred, picking.nowMs));
  if (!view.hasCircuits) return pickEndpoint(view, picking.key, tried, preferred);
  return admitted(picking, pickPastOpenCircuits(view, picking.key, tried, picking.nowMs, preferred));
}

function admitted(picking: Picking, picked: PickedEndpoint | undefined): Endpoint | undefined {
  picking.admission = picked?.admission ?? PASSED;
  return picked?.endpoint;
}

/** What was picked last is not used after all. */
export function giveBackPicked({ admission }: Picking, { view }: Pool, endpoint: Endpoint): void {
  view.guards?.get(endpoint)?.cancelled(admission);
  endpoint.release();
}
