/** Gives pools the policies that their settings ask for, with their counts in shared memory. */

import type { Balancer } from "../balancing/definition.ts";
import { algorithms } from "../balancing/registry.ts";
import type { Clock, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Region } from "../base/shared-memory.ts";
import type { EventReport, EventType } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import { type MetricsWriter, POOL } from "../observability/metrics-table.ts";
import { EndpointGuard } from "../pools/endpoint-guard.ts";
import type { Pool } from "../pools/pool.ts";
import { BudgetCounters, type PoolCounters } from "../pools/pool-counters.ts";
import { PoolGate } from "../pools/pool-gate.ts";
import { PoolHedging } from "../pools/pool-hedging.ts";
import { PoolRetry } from "../pools/pool-retry.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { AnywayEndpoint, type DegradedEndpoint } from "../pools/stand-in.ts";
import { type PlanOptions, TierPlan } from "../pools/tier-plan.ts";
import { AdaptiveConcurrency } from "../resilience/adaptive-concurrency.ts";
import { CircuitBreaker, describeBreakerEvent } from "../resilience/circuit-breaker.ts";
import { ConcurrencyLimits } from "../resilience/concurrency-limits.ts";
import {
  adaptiveConcurrencyOptions,
  circuitBreakerOptions,
  consecutiveFailures,
  hedgeOptions,
} from "../resilience/options.ts";
import { OutlierAlarm } from "../resilience/outlier-alarm.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { ResilienceMemory } from "./resilience-memory.ts";

/** A tier spills over when fewer than five in seven of its endpoints are available. */
const USUAL_OVERPROVISIONING = 1.4;

const CIRCUIT_EVENTS = {
  open: "circuit.opened",
  "half-open": "circuit.tried",
  closed: "circuit.closed",
} as const satisfies Record<string, EventType>;

export interface PoolPoliciesOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly memory: ResilienceMemory;
  readonly worker: number;
  readonly metrics: MetricsWriter;
  readonly log: Log;
  readonly report: (event: EventReport) => void;
  /** See DataPathOptions. */
  readonly onSuspect: (pool: string, row: number) => void;
  /** To be added to the clock's time for one that all processes agree on; milliseconds. */
  readonly sharedOffsetMs: number;
}

export class PoolPolicies {
  readonly #options: PoolPoliciesOptions;
  readonly #counters: PoolCounters;

  constructor(options: PoolPoliciesOptions) {
    this.#options = options;
    this.#counters = options.memory.pools(options.worker);
  }

  /** How requests to the pool in `row` of the shared counts are tried again. */
  retry(row: number, { retry }: PoolConfig, pool: () => Pool): PoolRetry {
    return new PoolRetry(
      retry,
      new BudgetCounters(this.#counters.usage, this.#counters.retries(row), () => activeIn(pool())),
    );
  }

  /** What lets requests into the pool; the one before where nothing has changed, undefined when nothing is in their way. */
  gate(pool: PoolPlace, config: PoolConfig, before: PoolGate | undefined): PoolGate | undefined {
    const { limits, circuitBreaker, adaptiveConcurrency } = config;
    const own = circuitBreaker !== false && circuitBreaker.scope === "pool" ? circuitBreaker : undefined;
    if (limits === undefined && own === undefined && adaptiveConcurrency === false) return undefined;
    const fingerprint = JSON.stringify([limits, own, adaptiveConcurrency]);
    // What it has learned of the pool's speed is kept.
    if (before?.fingerprint === fingerprint) return before;
    const { memory, clock, sharedOffsetMs } = this.#options;
    const { usage } = this.#counters;
    return new PoolGate({
      limits: limits && new ConcurrencyLimits(usage, this.#counters.limits(pool.row), limits),
      breaker: own && this.#breaker(memory.poolBreaker(pool.row), own, pool, ""),
      adaptive:
        adaptiveConcurrency === false
          ? undefined
          : new AdaptiveConcurrency(
              usage,
              this.#counters.adaptive(pool.row),
              adaptiveConcurrencyOptions(adaptiveConcurrency),
              clock.now(),
            ),
      fingerprint,
      sharedOffsetMs,
    });
  }

  /** When requests to the pool are sent twice; the one before where nothing has changed, since it knows the latencies. */
  hedging({ hedging }: PoolConfig, before: PoolHedging | undefined): PoolHedging | undefined {
    const fingerprint = JSON.stringify(hedging);
    if (before?.fingerprint === fingerprint) return before;
    before?.close();
    if (hedging === false) return undefined;
    const { clock, timers } = this.#options;
    return new PoolHedging(hedgeOptions(hedging), fingerprint, clock, timers);
  }

  /** Who watches the endpoints, or undefined when nobody wants to know. */
  guards(
    pool: PoolPlace,
    { outlierDetection, circuitBreaker }: PoolConfig,
    endpoints: readonly Endpoint[],
  ): ReadonlyMap<Endpoint, EndpointGuard> | undefined {
    const { memory, sharedOffsetMs, onSuspect } = this.#options;
    const config = circuitBreaker !== false && circuitBreaker.scope === "endpoint" ? circuitBreaker : undefined;
    if (outlierDetection === false && config === undefined) return undefined;
    const results =
      outlierDetection === false
        ? undefined
        : new OutlierAlarm(memory.outliers, consecutiveFailures(outlierDetection), (row) => onSuspect(pool.name, row));
    return new Map(
      endpoints.map((endpoint) => {
        const breaker = config && this.#breaker(memory.endpointBreaker(endpoint.row), config, pool, endpoint.id);
        return [endpoint, new EndpointGuard(endpoint.row, results, breaker, sharedOffsetMs)];
      }),
    );
  }

  /** How traffic is shared over tiers, where it is not simply one after the other. */
  plan(
    pool: PoolPlace,
    config: PoolConfig,
    tiers: readonly (readonly Endpoint[])[],
    balancers: readonly Balancer<Endpoint>[],
    degraded: readonly Balancer<DegradedEndpoint>[] | undefined,
    anyway: (endpoints: readonly AnywayEndpoint[]) => Balancer<AnywayEndpoint>,
  ): TierPlan | undefined {
    const plan = planOptions(config);
    if (plan === undefined) return undefined;
    const { metrics, clock, random } = this.#options;
    const isKeyed = algorithms[config.balance.algorithm].keyed;
    const planned = tiers.map((members, index) => ({
      members,
      balancer: balancers[index] as Balancer<Endpoint>,
      degraded: degraded?.[index],
      anyway: anyway(members.map((member) => AnywayEndpoint.of(member))),
    }));
    return new TierPlan(planned, plan, clock, random, isKeyed, () => metrics.add(pool.cells + POOL.panicked, 1));
  }

  #breaker(region: Region, config: BreakerConfig, pool: PoolPlace, endpoint: string): CircuitBreaker {
    const { metrics, log, report } = this.#options;
    return new CircuitBreaker(region, circuitBreakerOptions(config), (event) => {
      const fields = { pool: pool.name, ...(endpoint === "" ? {} : { endpoint }), reason: describeBreakerEvent(event) };
      if (event.to === "open") {
        metrics.add(pool.cells + POOL.circuitsOpened, 1);
        log.warn("a circuit opens", fields);
      } else log.info(event.to === "closed" ? "a circuit closes" : "a circuit is tried", fields);
      report({ type: CIRCUIT_EVENTS[event.to], ...fields });
    });
  }
}

/** Undefined when one tier is used after the other and nothing else is tried. */
export function planOptions({ overprovisioning, panic }: PoolConfig): PlanOptions | undefined {
  if (overprovisioning === undefined && panic === undefined) return undefined;
  return {
    overprovisioningPercent: Math.round((overprovisioning ?? USUAL_OVERPROVISIONING) * 100),
    panicPercent: panic?.threshold ?? 0,
    failOpen: panic?.failOpen ?? false,
  };
}

/** What is needed to know of a pool to count for it. */
export interface PoolPlace {
  readonly name: string;
  readonly row: number;
  readonly cells: number;
}

type BreakerConfig = Exclude<PoolConfig["circuitBreaker"], false>;

/** Requests that are served over all workers, and those that wait in this one. */
function activeIn({ view, queue }: Pool): number {
  let active = queue.length;
  for (const endpoint of view.endpoints) active += endpoint.active;
  return active;
}
