/**
 * Judges endpoints by what the workers have counted of them: takes those out that fail what they are asked, and back when
 * their time is over. One process does this for all. What is known of an endpoint is kept over reloads, by pool and address.
 */
import type { Clock, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Log } from "../observability/log.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { outlierOptions } from "../resilience/options.ts";
import { SelectedResults } from "../resilience/outlier-counters.ts";
import { OutlierDetector } from "../resilience/outlier-detector.ts";
import { describeOutlierEvent, type OutlierEvent } from "../resilience/outlier-event.ts";
import type { SharedTables } from "./memory.ts";
import { WatchedPools } from "./watched-pools.ts";

/** What a pool must keep where it does not say when it panics, in percent. */
const USUAL_PANIC_PERCENT = 50;

export interface OutlierWatchOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly tables: SharedTables;
  /** When an endpoint passed its active check, if the last one did. */
  readonly lastPassedMs: (pool: string, id: string) => number | undefined;
  /** An endpoint was ejected or is back. The log has it already. */
  readonly onChange: (change: EjectionChange) => void;
}

export interface EjectionChange {
  readonly pool: string;
  readonly endpoint: string;
  readonly ejected: boolean;
  readonly reason: string;
}

interface WatchedEndpoint {
  readonly id: string;
  readonly row: number;
}

interface Watched {
  readonly endpoints: readonly WatchedEndpoint[];
  readonly detector: OutlierDetector;
  readonly returnOnCheck: boolean;
  /** By endpoint; what was passed before says nothing of it now. */
  readonly ejectedMs: Map<string, number>;
}

export class OutlierWatch {
  readonly #options: OutlierWatchOptions;
  readonly #pools: WatchedPools<Watched>;
  readonly #ejections = new Map<string, Map<string, number>>();

  constructor(options: OutlierWatchOptions) {
    this.#options = options;
    this.#pools = new WatchedPools(options.timers, () => this.#tick());
  }

  /** Watches exactly these endpoints of a pool from now on, or none of them where its settings do not ask for it. */
  setPool(pool: string, config: PoolConfig | undefined, endpoints: readonly WatchedEndpoint[]): void {
    const before = this.#pools.get(pool);
    const outliers = config?.outlierDetection ?? false;
    if (outliers === false) {
      for (const { row } of before?.endpoints ?? []) this.#options.tables.endpoints.setEjected(row, false);
      this.#pools.put(pool, undefined);
    } else {
      const { clock, random, tables } = this.#options;
      const results = new SelectedResults(
        tables.resilience.outliers,
        endpoints.map(({ row }) => row),
      );
      const ejectedMs = new Map<string, number>();
      const tell = (event: OutlierEvent): void => this.#tell(pool, watched, event);
      const options = outlierOptions(outliers, config?.panic?.threshold ?? USUAL_PANIC_PERCENT);
      const detector = new OutlierDetector(results, options, random, tell, clock.now());
      const watched: Watched = { endpoints, detector, returnOnCheck: outliers.returnOnCheck, ejectedMs };
      if (before !== undefined) adopt(watched, before);
      this.#pools.put(pool, watched);
    }
  }

  /** Forgets pools that the configuration does not have any more. */
  keepOnly(pools: readonly string[]): void {
    this.#pools.keepOnly(pools);
    for (const pool of this.#ejections.keys()) if (!pools.includes(pool)) this.#ejections.delete(pool);
  }

  /** Judges one endpoint by its failures in a row, at once; others wait for the next turn. */
  look(pool: string, row: number): void {
    const watched = this.#pools.get(pool);
    const index = watched?.endpoints.findIndex((endpoint) => endpoint.row === row) ?? -1;
    if (index >= 0) watched?.detector.look(index, this.#options.clock.now());
  }

  /** How often endpoints were ejected, for which reason, since the start. */
  ejections(): { readonly pool: string; readonly reason: string; readonly count: number }[] {
    return [...this.#ejections].flatMap(([pool, reasons]) =>
      [...reasons].map(([reason, count]) => ({ pool, reason, count })),
    );
  }

  close(): void {
    this.#pools.close();
  }

  #tick(): void {
    const nowMs = this.#options.clock.now();
    const { endpoints: table } = this.#options.tables;
    for (const [pool, watched] of this.#pools) {
      const { detector, endpoints } = watched;
      detector.unavailable = endpoints.filter(({ row }) => !table.isUsable(row) && !table.isEjected(row)).length;
      if (watched.returnOnCheck && watched.ejectedMs.size > 0) this.#lookAtChecks(pool, watched, nowMs);
      detector.tick(nowMs);
    }
  }

  #lookAtChecks(pool: string, { endpoints, detector, ejectedMs }: Watched, nowMs: number): void {
    for (const [index, { id }] of endpoints.entries()) {
      const sinceMs = ejectedMs.get(id);
      const passedMs = sinceMs === undefined ? undefined : this.#options.lastPassedMs(pool, id);
      if (passedMs !== undefined && sinceMs !== undefined && passedMs > sinceMs)
        detector.activeCheckPassed(index, nowMs);
    }
  }

  #tell(pool: string, { endpoints, ejectedMs }: Watched, event: OutlierEvent): void {
    const { id: endpoint, row } = endpoints[event.endpoint] as WatchedEndpoint;
    const { log, tables, onChange } = this.#options;
    const reason = describeOutlierEvent(event);
    const fields = { pool, endpoint, reason };
    if (event.kind === "returned") {
      ejectedMs.delete(endpoint);
      tables.endpoints.setEjected(row, false);
      log.info("endpoint returns", fields);
    } else if (event.kind === "ejected") {
      ejectedMs.set(endpoint, event.atMs);
      tables.endpoints.setEjected(row, true);
      const reasons = this.#ejections.get(pool) ?? new Map<string, number>();
      this.#ejections.set(pool, reasons.set(event.cause, (reasons.get(event.cause) ?? 0) + 1));
      log.warn("endpoint is ejected", fields);
    } else {
      log.warn(event.kind === "spared" ? "endpoint is kept" : "endpoint would be ejected", fields);
      return;
    }
    onChange({ ...fields, ejected: event.kind === "ejected" });
  }
}

/** What was known of endpoints that are still there. */
function adopt(watched: Watched, before: Watched): void {
  const known = new Map(before.endpoints.map((endpoint, index) => [endpoint.id, { ...endpoint, index }]));
  for (const [index, { id, row }] of watched.endpoints.entries()) {
    const earlier = known.get(id);
    if (earlier === undefined || earlier.row !== row) continue;
    watched.detector.adopt(index, before.detector, earlier.index);
    const sinceMs = before.ejectedMs.get(id);
    if (sinceMs !== undefined) watched.ejectedMs.set(id, sinceMs);
  }
}
