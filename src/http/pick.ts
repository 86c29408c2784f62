/** Which endpoint a try of an exchange goes to. What is picked is counted in on its endpoint. */
import { type PickedEndpoint, pickEndpoint, pickOnly, pickPastOpenCircuits } from "../pools/pick-endpoint.ts";
import type { Pool } from "../pools/pool.ts";
import { PASSED } from "../resilience/circuit-breaker.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { Exchange } from "./exchange.ts";

export function pick(exchange: Exchange, pool: Pool): Endpoint | undefined {
  const session = exchange.sessionInUse;
  if (session?.isBound === true) return pickBound(exchange, pool, session.preferred);
  if (exchange.tried === undefined) return pickOf(exchange, pool, undefined);
  // Never the same endpoint while another is left; but a pool of one is tried again on a fresh connection.
  return pickOf(exchange, pool, exchange.tried) ?? pickOf(exchange, pool, undefined);
}

/** One that is none of these, or nothing. */
export function pickOther(exchange: Exchange, pool: Pool, taken: readonly Endpoint[]): Endpoint | undefined {
  return pickOf(exchange, pool, taken);
}

function pickOf(exchange: Exchange, { view }: Pool, tried: readonly Endpoint[] | undefined): Endpoint | undefined {
  const preferred = exchange.sessionInUse?.preferred;
  if (!view.hasCircuits) return pickEndpoint(view, exchange.key, tried, preferred);
  return admitted(exchange, pickPastOpenCircuits(view, exchange.key, tried, exchange.nowMs, preferred));
}

/** The session goes to its own endpoint or nowhere. */
function pickBound(exchange: Exchange, { view }: Pool, endpoint: Endpoint | undefined): Endpoint | undefined {
  return endpoint === undefined ? undefined : admitted(exchange, pickOnly(view, endpoint, exchange.nowMs));
}

function admitted(exchange: Exchange, picked: PickedEndpoint | undefined): Endpoint | undefined {
  exchange.admission = picked?.admission ?? PASSED;
  return picked?.endpoint;
}

/** What was picked last is not used after all. */
export function giveBackPicked({ admission }: Exchange, { view }: Pool, endpoint: Endpoint): void {
  view.guards?.get(endpoint)?.cancelled(admission);
  endpoint.release();
}
