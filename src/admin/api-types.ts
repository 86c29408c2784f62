/** What the admin API says and takes, in JSON. Times are ISO 8601 in UTC. */
import type { HealthStatus } from "../health/health-state.ts";
import type { EvenkeelEvent } from "../observability/event-log.ts";
import type { AdminState } from "../upstreams/admin-state.ts";

export type { EvenkeelEvent } from "../observability/event-log.ts";

/** GET /api/pools: a list of these. */
export interface PoolSummary {
  readonly name: string;
  readonly algorithm: string;
  readonly endpointCount: number;
  /** Endpoints that may be picked now. */
  readonly usable: number;
  /** Those of them that are degraded. */
  readonly degraded: number;
  /** Pools that it requires and that have nothing usable: nothing is sent to it. */
  readonly blockedBy: readonly string[];
  readonly inFlight: number;
  /** Exchanges that wait for an endpoint. */
  readonly waiting: number;
  /** Null when its limits are this balancer's own. */
  readonly sharing: SharingView | null;
}

/** Whom a pool shares its limits with. */
export interface SharingView {
  /** How many, this one included; as far as was heard last. */
  readonly balancers: number;
  /** Whether the others are heard now. */
  readonly heard: boolean;
}

/** GET /api/pools/NAME */
export interface PoolView extends PoolSummary {
  readonly endpoints: readonly EndpointView[];
}

/** GET, PUT and PATCH /api/pools/NAME/endpoints/ADDRESS */
export interface EndpointView {
  readonly pool: string;
  /** IP address and port, `10.0.0.1:80` or `[::1]:80`: what it is called in paths. */
  readonly endpoint: string;
  readonly state: AdminState;
  readonly health: HealthStatus | "unchecked";
  /** May be picked now. */
  readonly usable: boolean;
  /** Why it is usable or not: the first of `against`, where there is one. */
  readonly reason: string;
  /** All that stands against it now. */
  readonly against: readonly string[];
  /** Since when that has been so. */
  readonly since: string;
  /** Why health checks see it as they do. */
  readonly healthReason: string;
  /** Null when it has none. */
  readonly agent: AgentApiView | null;
  /** State of its circuit breaker; null when it has none. Requests pass over one that is open. */
  readonly circuit: "closed" | "open" | "half-open" | null;
  readonly weight: number;
  /** Less than `weight` while it warms up, and what its agent makes of it. */
  readonly effectiveWeight: number;
  readonly tier: number;
  /** 0 for no limit. */
  readonly maxConnections: number;
  /** Places of `maxConnections` that are for other balancers now. */
  readonly elsewhere: number;
  readonly inFlight: number;
  /** Exchanges and connections that were begun on it, since the program started. */
  readonly requests: number;
  readonly failures: number;
  /** Where it comes from: the configuration, or an operator. */
  readonly origin: "configuration" | "operator";
  /** Milliseconds that it may still drain; null when it does not. */
  readonly drainLeftMs: number | null;
  /** The last health checks, the oldest first. */
  readonly checks: readonly CheckView[];
  /** The last changes, the oldest first. */
  readonly changes: readonly EvenkeelEvent[];
}

export interface AgentApiView {
  /** Its last words, `drain 50%`; "" before the first. */
  readonly says: string;
  /** Why it says so, in its own words. */
  readonly reason: string;
  readonly state: AdminState;
  readonly up: boolean;
  readonly weightPercent: number;
  /** When it was last understood; null before the first time. */
  readonly heard: string | null;
  /** Why it could not be heard or understood the last time; "" when it was. Its last words hold. */
  readonly problem: string;
}

export interface CheckView {
  readonly time: string;
  readonly passed: boolean;
  readonly degraded: boolean;
  /** Why it failed or is degraded, or what its agent said; else "". */
  readonly reason: string;
  readonly latencyMs: number;
}

/** Body of PUT and PATCH /api/pools/NAME/endpoints/ADDRESS */
export interface EndpointChangeRequest {
  readonly state?: AdminState | undefined;
  readonly weight?: number | undefined;
}

/** Body of POST /api/pools/NAME/endpoints */
export interface EndpointAddRequest extends EndpointChangeRequest {
  /** IP address and port. */
  readonly address: string;
  readonly tier?: number | undefined;
  readonly maxConnections?: number | undefined;
}

/** GET /api/version */
export interface VersionView {
  readonly version: string;
  readonly pid: number;
  /** Grows with every configuration that is tried. */
  readonly generation: number;
  readonly workers: number;
}

/** Every refusal (RFC 9457), as application/problem+json. */
export interface ProblemView {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
}
