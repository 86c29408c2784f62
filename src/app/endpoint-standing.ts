/** What is known for and against one endpoint, apart from what is being timed. */
import type { FlapDampingConfig } from "../health/flap-schema.ts";
import type { HealthStatus } from "../health/health-state.ts";
import type { PoolConfig } from "../pools/schema.ts";
import type { AdminState } from "../upstreams/admin-state.ts";
import type { Hold } from "./flap-holds.ts";

/** Which endpoint is meant, and the settings of its pool. */
export interface EndpointPlace {
  readonly pool: string;
  readonly id: string;
  /** Of its row. */
  readonly name: string;
  readonly row: number;
  readonly config: PoolConfig;
}

export interface Ejection {
  readonly reason: string;
  readonly sinceMs: number;
}

export interface Standing {
  place: EndpointPlace;
  /** What the file or an operator wants of it. */
  wanted: AdminState;
  /** What its agent wants of it. */
  agentState: AdminState;
  agentPercent: number;
  /** What holds: the stronger of the two. */
  state: AdminState;
  stateSinceMs: number;
  weight: number;
  status: HealthStatus;
  /** Why and since when it is ejected; undefined while it is not. */
  ejection: Ejection | undefined;
  /** Its pool began with it: there is nobody to take the load while it warms up. */
  startsInFull: boolean;
}

export interface StandingStatus {
  readonly stateSinceMs: number;
  /** How long it may still drain; undefined when it does not. */
  readonly drainLeftMs: number | undefined;
  readonly ejection: Ejection | undefined;
  /** Undefined while it is not held back for going up and down. */
  readonly hold: Hold | undefined;
  /** Part of its weight that counts now: below 1 while it warms up. */
  readonly warmth: number;
}

export function beginStanding(place: EndpointPlace, weight: number, startsInFull: boolean, nowMs: number): Standing {
  return {
    place,
    wanted: "ready",
    agentState: "ready",
    agentPercent: 100,
    state: "ready",
    stateSinceMs: nowMs,
    weight,
    status: "checking",
    ejection: undefined,
    startsInFull,
  };
}

export function isUp(status: HealthStatus): boolean {
  return status === "healthy" || status === "degraded";
}

export function dampingOf({ health }: PoolConfig): FlapDampingConfig {
  return typeof health === "object" ? health.flapDamping : false;
}

const STRENGTH: Readonly<Record<AdminState, number>> = { ready: 0, drain: 1, maintenance: 2 };

export function stronger(one: AdminState, other: AdminState): AdminState {
  return STRENGTH[one] >= STRENGTH[other] ? one : other;
}
