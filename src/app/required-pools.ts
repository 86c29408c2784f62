/**
 * Sees to it that no pool is used while one that it requires has nothing usable: marks its endpoints in the shared table,
 * which all workers read.
 */
import type { Timers } from "../base/clock.ts";
import type { Log } from "../observability/log.ts";
import type { PoolConfig } from "../pools/schema.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import type { EndpointTable } from "../upstreams/endpoint-table.ts";
import { WatchedPools } from "./watched-pools.ts";

export interface RequiredPoolsOptions {
  readonly timers: Timers;
  readonly log: Log;
  readonly table: EndpointTable;
  /** A pool is blocked or is released. The log has it already. */
  readonly onChange: (pool: string, isBlocked: boolean, reason: string) => void;
}

interface Watched {
  readonly requires: readonly string[];
  readonly specs: readonly EndpointSpec[];
  /** Those of `requires` that have nothing usable. */
  missing: readonly string[];
}

export class RequiredPools {
  readonly #options: RequiredPoolsOptions;
  readonly #pools: WatchedPools<Watched>;

  constructor(options: RequiredPoolsOptions) {
    this.#options = options;
    this.#pools = new WatchedPools(
      options.timers,
      () => this.#tick(),
      ({ requires }) => requires.length > 0,
    );
  }

  setPool(pool: string, config: PoolConfig | undefined, specs: readonly EndpointSpec[]): void {
    const requires = config?.requires ?? [];
    const missing = this.#pools.get(pool)?.missing ?? [];
    this.#pools.put(pool, { requires, specs, missing });
    // Endpoints that are new know nothing of it yet. What it requires may be set only after it: that is looked at later.
    this.#mark(specs, missing.length > 0);
  }

  /** All pools are set: forgets the others. */
  keepOnly(pools: readonly string[]): void {
    this.#pools.keepOnly(pools);
    this.#tick();
  }

  /** Pools that require others, and those of them that have nothing usable. */
  list(): { readonly pool: string; readonly missing: readonly string[] }[] {
    return [...this.#pools].flatMap(([pool, { requires, missing }]) =>
      requires.length === 0 ? [] : [{ pool, missing }],
    );
  }

  missing(pool: string): readonly string[] {
    return this.#pools.get(pool)?.missing ?? [];
  }

  close(): void {
    this.#pools.close();
  }

  /** What a pool requires is looked at before it: one look is enough for a whole chain. */
  #tick(): void {
    const seen = new Set<string>();
    const look = (pool: string): void => {
      const watched = this.#pools.get(pool);
      if (watched === undefined || seen.has(pool)) return;
      seen.add(pool);
      for (const required of watched.requires) look(required);
      if (watched.requires.length > 0 || watched.missing.length > 0) this.#look(pool, watched);
    };
    for (const pool of this.#pools.keys()) look(pool);
  }

  #look(pool: string, watched: Watched): void {
    const { log, onChange } = this.#options;
    const missing = watched.requires.filter((required) => !this.#isUsable(required));
    const isBlocked = missing.length > 0;
    this.#mark(watched.specs, isBlocked);
    const wasBlocked = watched.missing.length > 0;
    watched.missing = missing;
    if (isBlocked === wasBlocked) return;
    const reason = isBlocked ? describeMissing(missing) : "all that it requires can be used";
    if (isBlocked) log.error("a pool is blocked", { pool, reason });
    else log.info("a pool is released", { pool, reason });
    onChange(pool, isBlocked, reason);
  }

  #mark(specs: readonly EndpointSpec[], isBlocked: boolean): void {
    const { table } = this.#options;
    for (const { row } of specs) if (table.isBlocked(row) !== isBlocked) table.setBlocked(row, isBlocked);
  }

  #isUsable(pool: string): boolean {
    const { table } = this.#options;
    return this.#pools.get(pool)?.specs.some(({ row }) => table.isUsable(row) && table.weight(row) > 0) ?? false;
  }
}

/** For the log and for people. */
export function describeMissing(missing: readonly string[]): string {
  const names = missing.join(" and ");
  return `it requires ${names}, which ${missing.length === 1 ? "has" : "have"} no usable endpoint`;
}
