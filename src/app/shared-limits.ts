/** The limits that this balancer keeps together with others: found in the configuration, counted in the shared memory. */
import type { Clock, Timers } from "../base/clock.ts";
import type { EventLog } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import { POOL } from "../observability/metrics-table.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { RedisClient } from "../redis/redis-client.ts";
import type { RedisConnection } from "../redis/redis-node.ts";
import { LIMIT_CELL, type LimitedResource } from "../resilience/concurrency-limits.ts";
import { LimitExchange } from "../sharing/limit-exchange.ts";
import { LimitSharing, type SharedLimit } from "../sharing/limit-sharing.ts";
import type { SharedLimitsConfig } from "../sharing/schema.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import type { SharedTables } from "./memory.ts";

/** What the supervisor counts in the shared memory is on behalf of nobody; any worker's view shows all. */
const ANY_WORKER = 0;

export interface SharedLimitsOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly events: EventLog;
  readonly tables: SharedTables;
  /** Row of a pool in the shared tables. */
  readonly rowOf: (pool: string) => number | undefined;
  readonly connect: (url: string, timeoutMs: number) => RedisConnection;
  readonly isDraining: () => boolean;
}

interface KnownPool {
  readonly config: PoolConfig;
  readonly specs: readonly EndpointSpec[];
}

export class SharedLimits {
  readonly #options: SharedLimitsOptions;
  readonly #pools = new Map<string, KnownPool>();
  /** What had been queued and refused in a pool when it was last asked whether it is short. */
  readonly #turnedAway = new Map<string, number>();
  /** Of this process: one that takes its place counts beside it until it has ended. */
  readonly #id = crypto.randomUUID();
  #config: SharedLimitsConfig | undefined;
  #sharing: LimitSharing | undefined;
  #exchange: LimitExchange | undefined;
  /** Pools have changed since the limits were last looked for in them. */
  #isOutdated = false;
  #wasHearing: boolean | undefined;
  #present = 0;

  constructor(options: SharedLimitsOptions) {
    this.#options = options;
  }

  /** Shares by these settings from now on, or not at all. Pools are set after it. */
  configure(config: SharedLimitsConfig | undefined): void {
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return;
    this.close();
    this.#config = config;
    if (config === undefined) return;
    const { forgetAfter: forgetAfterMs, whenUnreachable } = config;
    const sharing = new LimitSharing({ forgetAfterMs, whenUnreachable, isShort: (pool) => this.#isShort(pool) });
    this.#sharing = sharing;
    this.#isOutdated = true;
    this.#exchange = this.#startExchange(config, sharing);
  }

  /** These are the endpoints of a pool from now on. */
  setPool(pool: string, config: PoolConfig | undefined, specs: readonly EndpointSpec[]): void {
    if (config === undefined) this.#pools.delete(pool);
    else this.#pools.set(pool, { config, specs });
    this.#isOutdated = true;
  }

  keepOnly(pools: readonly string[]): void {
    for (const pool of this.#pools.keys()) if (!pools.includes(pool)) this.#pools.delete(pool);
    this.#isOutdated = true;
  }

  /** With how many balancers the limits of a pool are kept; undefined when they are this one's own. */
  of(pool: string): { readonly balancers: number; readonly heard: boolean } | undefined {
    const balancers = this.#sharing?.balancers(pool);
    return balancers === undefined ? undefined : { balancers, heard: this.isHearing === true };
  }

  /** Whether the others can be heard; undefined when nothing is shared. */
  get isHearing(): boolean | undefined {
    return this.#sharing?.isHearing(this.#options.clock.now());
  }

  /** How many share limits, this one included; undefined when nothing is shared. */
  get balancers(): number | undefined {
    return this.#sharing?.present(this.#options.clock.now());
  }

  /** Nothing is shared any more. */
  close(): void {
    this.#exchange?.close();
    this.#sharing?.close();
    this.#exchange = undefined;
    this.#sharing = undefined;
    this.#config = undefined;
    this.#wasHearing = undefined;
    this.#present = 0;
  }

  #startExchange(config: SharedLimitsConfig, sharing: LimitSharing): LimitExchange {
    const { clock, timers, log, connect, isDraining } = this.#options;
    const onChange = (server: string, reachable: boolean, reason: string): void => {
      if (reachable) log.info("redis answers again", { server });
      else log.warn("redis does not answer", { server, reason });
    };
    return new LimitExchange({
      timers,
      store: new RedisClient({ config: config.redis, clock, timers, connect, onChange }),
      prefix: config.redis.prefix,
      id: this.#id,
      intervalMs: config.interval,
      forgetAfterMs: config.forgetAfter,
      publish: () => {
        if (this.#isOutdated) sharing.setLimits(this.#findLimits(config), clock.now());
        this.#isOutdated = false;
        return sharing.publish(isDraining());
      },
      onHeard: (published) => {
        const gone = sharing.heard(published, clock.now());
        this.#tell(sharing, config);
        return gone;
      },
      onUnheard: () => {
        sharing.unheard(clock.now());
        this.#tell(sharing, config);
      },
    });
  }

  #tell(sharing: LimitSharing, { whenUnreachable }: SharedLimitsConfig): void {
    const { clock, log, events } = this.#options;
    const hears = sharing.isHearing(clock.now());
    const present = hears ? sharing.present(clock.now()) : this.#present;
    if (hears !== this.#wasHearing) {
      const part = whenUnreachable === "alone" ? "all of every limit" : "an equal part of every limit";
      const reason = hears ? "redis answers" : `redis does not answer: this balancer takes ${part}`;
      if (hears) log.info("limits are shared", { balancers: present });
      else log.warn("limits are not shared now", { reason });
      // That it begins well is no news.
      if (!hears || this.#wasHearing === false) events.publish(hears ? "limits.shared" : "limits.alone", { reason });
    } else if (present !== this.#present) log.info("limits are shared", { balancers: present });
    this.#wasHearing = hears;
    this.#present = present;
  }

  #findLimits({ pools: chosen }: SharedLimitsConfig): SharedLimit[] {
    return [...this.#pools].flatMap(([name, pool]) =>
      chosen === undefined || chosen.includes(name)
        ? [...this.#limitsOf(name, pool), ...this.#placesOn(name, pool)]
        : [],
    );
  }

  #limitsOf(pool: string, { config: { limits } }: KnownPool): SharedLimit[] {
    const row = this.#options.rowOf(pool);
    if (limits === undefined || row === undefined) return [];
    const counters = this.#options.tables.resilience.pools(ANY_WORKER);
    return Object.entries(LIMIT_CELL).flatMap(([name, index]) => {
      const limit = limits[name as LimitedResource];
      const cell = counters.limits(row) + index;
      const inUse = (): number => counters.usage.readHere(cell);
      return limit === 0
        ? []
        : [{ pool, name, limit, inUse, reserve: (places) => counters.usage.setElsewhere(cell, places) }];
    });
  }

  #placesOn(pool: string, { specs }: KnownPool): SharedLimit[] {
    const { endpoints } = this.#options.tables;
    return specs.flatMap(({ id, row, maxConnections: limit }) => {
      const inUse = (): number => endpoints.inFlight(row);
      return limit === 0
        ? []
        : [{ pool, name: id, limit, inUse, reserve: (places) => endpoints.setElsewhere(row, places) }];
    });
  }

  /** Somebody waits in a pool, or has had to, or was refused, since this was last asked. */
  #isShort(pool: string): boolean {
    const row = this.#options.rowOf(pool);
    if (row === undefined) return false;
    const { metrics } = this.#options.tables;
    const turnedAway = metrics.read("pool", row, POOL.queued) + metrics.read("pool", row, POOL.refused);
    const before = this.#turnedAway.get(pool) ?? turnedAway;
    this.#turnedAway.set(pool, turnedAway);
    return turnedAway > before || metrics.read("pool", row, POOL.waiting) > 0;
  }
}
