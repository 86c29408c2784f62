/** Says loudly when a pool panics and when it is over. The workers decide for themselves, from the same shared memory. */
import type { Timers } from "../base/clock.ts";
import type { Log } from "../observability/log.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { planFor } from "../pools/tier-plan.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import type { EndpointTable } from "../upstreams/endpoint-table.ts";
import { planOptions } from "./pool-policies.ts";
import { WatchedPools } from "./watched-pools.ts";

export interface PanicWatchOptions {
  readonly timers: Timers;
  readonly log: Log;
  readonly table: EndpointTable;
  /** A pool begins or ends to panic. The log has it already. */
  readonly onChange: (pool: string, panics: boolean, reason: string) => void;
}

interface Watched {
  readonly config: PoolConfig;
  readonly specs: readonly EndpointSpec[];
  panics: boolean;
}

export class PanicWatch {
  readonly #options: PanicWatchOptions;
  readonly #pools: WatchedPools<Watched>;

  constructor(options: PanicWatchOptions) {
    this.#options = options;
    this.#pools = new WatchedPools(options.timers, () => this.#tick());
  }

  /** Watches these endpoints of a pool, or nothing of it where its settings know no panic. */
  setPool(pool: string, config: PoolConfig | undefined, specs: readonly EndpointSpec[]): void {
    const canPanic = config !== undefined && planOptions(config) !== undefined;
    const panics = this.#pools.get(pool)?.panics ?? false;
    this.#pools.put(pool, canPanic ? { config, specs, panics } : undefined);
  }

  keepOnly(pools: readonly string[]): void {
    this.#pools.keepOnly(pools);
  }

  /** Pools that can panic, and whether they do. */
  list(): { readonly pool: string; readonly panics: boolean }[] {
    return [...this.#pools].map(([pool, { panics }]) => ({ pool, panics }));
  }

  close(): void {
    this.#pools.close();
  }

  #tick(): void {
    const { table, log, onChange } = this.#options;
    for (const [pool, watched] of this.#pools) {
      const options = planOptions(watched.config);
      if (options === undefined) continue;
      const counted = watched.specs.filter(({ row }) => table.weight(row) > 0 && !table.isBlocked(row));
      const numbers = [...new Set(counted.map(({ tier }) => tier))].sort((a, b) => a - b);
      const tiers = numbers.map((number) => {
        const members = counted.filter(({ tier }) => tier === number);
        return {
          total: members.length,
          healthy: members.filter(({ row }) => table.isEligible(row)).length,
          degraded: members.filter(({ row }) => table.isDegraded(row)).length,
        };
      });
      const panics = planFor(tiers, options).panic.includes(true);
      if (panics === watched.panics) continue;
      watched.panics = panics;
      const available = tiers.reduce((sum, { healthy, degraded }) => sum + healthy + degraded, 0);
      const reason = `${available} of ${counted.length} endpoints are available`;
      if (panics) log.error("a pool panics: requests go to all of its endpoints, well or not", { pool, reason });
      else log.warn("a pool panics no longer", { pool, reason });
      onChange(pool, panics, reason);
    }
  }
}
