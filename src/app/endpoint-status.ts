import type { AgentView } from "../health/agent-state.ts";
import type { CheckResult, HealthStatus } from "../health/health-state.ts";
import type { AdminState } from "../upstreams/admin-state.ts";

/** One endpoint for metrics, status and the admin API. Times are on the clock's scale. */
export interface EndpointStatus {
  readonly pool: string;
  readonly id: string;
  readonly row: number;
  readonly tier: number;
  readonly maxConnections: number;
  readonly weight: number;
  readonly state: AdminState;
  readonly stateSinceMs: number;
  /** By an operator; the file does not list it. */
  readonly added: boolean;
  readonly status: HealthStatus;
  /** Why health checks see it like this. */
  readonly reason: string;
  readonly sinceMs: number;
  readonly checks: readonly CheckResult[];
  /** Undefined when it has none. */
  readonly agent: AgentView | undefined;
  /** How long it may still drain; undefined when it does not. */
  readonly drainLeftMs: number | undefined;
  /** Why and since when it is out for how it answers. */
  readonly ejection: { readonly reason: string; readonly sinceMs: number } | undefined;
  /** Why and since when it is held back for going up and down. */
  readonly hold: { readonly reason: string; readonly sinceMs: number } | undefined;
  /** Part of its weight that counts now: below 1 while it warms up. */
  readonly warmth: number;
}
