/** A pool as a worker uses it. Its endpoints change without a new snapshot: the view is replaced by one assignment. */
import type { Balancer } from "../balancing/definition.ts";
import type { PoolSessions } from "../sessions/pool-sessions.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { EndpointGuard } from "./endpoint-guard.ts";
import type { KeyConfig } from "./key-schema.ts";
import type { PoolGate } from "./pool-gate.ts";
import type { PoolHedging } from "./pool-hedging.ts";
import type { PoolRetry } from "./pool-retry.ts";
import type { DegradedEndpoint } from "./stand-in.ts";
import type { TierPlan } from "./tier-plan.ts";
import type { WaitQueue } from "./wait-queue.ts";

/** The endpoints of a pool at one moment, and what picks among them. */
export interface PoolView {
  readonly endpoints: readonly Endpoint[];
  /** One balancer per tier, the preferred tier first. */
  readonly tiers: readonly Balancer<Endpoint>[];
  /** The same over the degraded endpoints of each tier; undefined where endpoints cannot be degraded. */
  readonly degraded: readonly Balancer<DegradedEndpoint>[] | undefined;
  /** The balancer that watches this endpoint's answers, when its algorithm wants to know. */
  readonly observers: ReadonlyMap<Endpoint, Balancer<Endpoint>> | undefined;
  /** Who watches each endpoint, where the pool wants that. */
  readonly guards: ReadonlyMap<Endpoint, EndpointGuard> | undefined;
  /** The guards may keep endpoints back. */
  readonly hasCircuits: boolean;
  /** Undefined where one tier is used after the other. */
  readonly plan: TierPlan | undefined;
}

export interface Pool {
  readonly name: string;
  view: PoolView;
  /** What to hash, when the algorithm maps keys. */
  readonly key: KeyConfig | undefined;
  /** Undefined when requests need not stay on one endpoint: the common case costs one comparison. */
  readonly sessions: PoolSessions<Endpoint> | undefined;
  readonly queue: WaitQueue;
  /** The header that says how important a request is that has to wait, in lower case. */
  readonly priorityHeader: string | undefined;
  readonly retry: PoolRetry;
  /** Undefined when everything is let in. */
  readonly gate: PoolGate | undefined;
  /** Undefined when nothing is sent twice for being slow. */
  readonly hedging: PoolHedging | undefined;
  /** Where requests go that this one has no place for. */
  readonly fallback: Pool | undefined;
  /** What clients get instead of an error. */
  readonly sorry: SorryAnswer | undefined;
  /** First cell of the pool's row in the metrics. */
  readonly cells: number;
}

export interface SorryAnswer {
  readonly status: number;
  /** Lines with their line breaks. */
  readonly headers: string;
  readonly body: string;
}

export const EMPTY_VIEW: PoolView = {
  endpoints: [],
  tiers: [],
  degraded: undefined,
  observers: undefined,
  guards: undefined,
  hasCircuits: false,
  plan: undefined,
};
