/** All that look at the endpoints of pools while they serve, one process for all workers. */
import type { Clock, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Config } from "../config/schema.ts";
import type { EventLog } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { connectRedis } from "../redis/connect.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import type { SharedTables } from "./memory.ts";
import { type EjectionChange, OutlierWatch } from "./outlier-watch.ts";
import { PanicWatch } from "./panic-watch.ts";
import { RequiredPools } from "./required-pools.ts";
import { SharedLimits } from "./shared-limits.ts";

export interface PoolWatchesOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly events: EventLog;
  readonly tables: SharedTables;
  readonly lastPassedMs: (pool: string, id: string) => number | undefined;
  readonly onEjection: (change: EjectionChange) => void;
  readonly rowOf: (pool: string) => number | undefined;
  readonly isDraining: () => boolean;
}

export class PoolWatches {
  readonly outliers: OutlierWatch;
  readonly panics: PanicWatch;
  readonly required: RequiredPools;
  readonly sharedLimits: SharedLimits;

  constructor(options: PoolWatchesOptions) {
    const { timers, log, events, tables, onEjection } = options;
    this.outliers = new OutlierWatch({ ...options, onChange: onEjection });
    this.panics = new PanicWatch({
      timers,
      log,
      table: tables.endpoints,
      onChange: (pool, panics, reason) => events.publish(panics ? "pool.panics" : "pool.recovered", { pool, reason }),
    });
    this.required = new RequiredPools({
      timers,
      log,
      table: tables.endpoints,
      onChange: (pool, blocked, reason) => events.publish(blocked ? "pool.blocked" : "pool.released", { pool, reason }),
    });
    this.sharedLimits = new SharedLimits({ ...options, connect: connectRedis });
  }

  /** A configuration is served from now on, with these endpoints. */
  apply(config: Config, endpoints: Readonly<Record<string, readonly EndpointSpec[]>>): void {
    this.sharedLimits.configure(config.sharedLimits);
    for (const [name, pool] of Object.entries(config.pools)) this.setPool(name, pool, endpoints[name] ?? []);
    for (const watch of this.#all) watch.keepOnly(Object.keys(config.pools));
  }

  /** A pool has other endpoints from now on. */
  setPool(pool: string, config: PoolConfig | undefined, specs: readonly EndpointSpec[]): void {
    for (const watch of this.#all) watch.setPool(pool, config, specs);
  }

  close(): void {
    for (const watch of this.#all) watch.close();
  }

  get #all() {
    return [this.outliers, this.panics, this.required, this.sharedLimits];
  }
}
