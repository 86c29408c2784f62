/** All endpoints of all pools: where they are, whether they are well, and their rows in the shared tables. */
import type { Clock, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { datagramPools } from "../config/check-connections.ts";
import type { Config } from "../config/schema.ts";
import type { HealthStatus } from "../health/health-state.ts";
import { type HealthChange, HealthMonitor } from "../health/monitor.ts";
import { type HealthConfig, healthSchema } from "../health/schema.ts";
import type { Log } from "../observability/log.ts";
import { Discovery, type ResolvedEndpoint, type Resolver } from "../upstreams/discovery.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import { localHeader } from "../upstreams/proxy-header.ts";
import type { SharedTables } from "./memory.ts";
import { Rows } from "./rows.ts";

const LOOK_MS = 20;

export interface EndpointRegistryOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly path: string;
  readonly resolver: Resolver;
  readonly tables: SharedTables;
  readonly capacity: number;
  /** The endpoints of a pool have changed on their own. */
  readonly onChange: (pool: string, specs: readonly EndpointSpec[]) => void;
}

/** One endpoint for metrics and status. */
export interface EndpointStatus {
  readonly pool: string;
  readonly id: string;
  readonly row: number;
  readonly status: HealthStatus;
  readonly reason: string;
}

export class EndpointRegistry {
  readonly #options: EndpointRegistryOptions;
  readonly #rows: Rows;
  readonly #discovery: Discovery;
  readonly #monitor: HealthMonitor;
  #config: Config | undefined;

  constructor(options: EndpointRegistryOptions) {
    this.#options = options;
    const { clock, timers, random, log, path, resolver, tables } = options;
    this.#rows = new Rows({
      what: "endpoints",
      capacity: options.capacity,
      now: () => clock.now(),
      isBusy: (row) => tables.endpoints.inFlight(row) > 0,
      clear: (row) => {
        tables.endpoints.clearRow(row);
        tables.metrics.clearRow("endpoint", row);
        tables.resilience.clearEndpoint(row);
      },
    });
    this.#discovery = new Discovery({
      resolver,
      timers,
      onEndpoints: (pool, found) => this.#endpointsFound(pool, found),
      onWarning: (message, fields) => log.warn(message, fields),
    });
    this.#monitor = new HealthMonitor({
      clock,
      timers,
      random,
      path,
      onChange: (change) => this.#healthChanged(change),
    });
  }

  /** Finds and checks the endpoints of this configuration from now on. */
  watch(config: Config): void {
    const before = this.#config;
    this.#config = config;
    for (const name of Object.keys(before?.pools ?? {})) {
      if (config.pools[name] !== undefined) continue;
      this.#discovery.removePool(name);
      this.#monitor.removePool(name);
    }
    for (const [name, pool] of Object.entries(config.pools)) {
      this.#discovery.setPool(name, pool.endpoints);
      this.#check(name, this.#discovery.endpoints(name));
    }
  }

  /** Waits until names are resolved and endpoints have been checked once, within these times. */
  async settle(namesMs: number, checksMs: number): Promise<void> {
    await this.#discovery.whenSettled(namesMs);
    const until = this.#options.clock.now() + checksMs;
    while (this.#options.clock.now() < until && this.list().some(({ status }) => status === "checking")) {
      await new Promise<void>((resolve) => void this.#options.timers.after(LOOK_MS, resolve));
    }
  }

  specs(pool: string): EndpointSpec[] {
    return this.#discovery.endpoints(pool).map((endpoint) => ({
      id: endpoint.id,
      host: endpoint.host,
      port: endpoint.port,
      name: endpoint.name,
      tier: endpoint.tier,
      maxConnections: endpoint.maxConnections,
      row: this.#rows.take(rowName(pool, endpoint.id)),
    }));
  }

  list(): EndpointStatus[] {
    return Object.keys(this.#config?.pools ?? {}).flatMap((pool) =>
      this.#discovery.endpoints(pool).map(({ id }) => {
        const health = this.#monitor.status(pool, id);
        const row = this.#rows.get(rowName(pool, id)) ?? 0;
        return { pool, id, row, status: health?.status ?? "healthy", reason: health?.reason ?? "not checked" };
      }),
    );
  }

  /** When an endpoint last passed its check, on the clock's scale; undefined when the last one failed or there was none. */
  lastPassedMs(pool: string, id: string): number | undefined {
    return this.#monitor.lastPassedMs(pool, id);
  }

  /** Gives up the rows of endpoints that are gone. */
  keepOnly(config: Config): void {
    const kept = Object.keys(config.pools).flatMap((pool) =>
      this.#discovery.endpoints(pool).map(({ id }) => rowName(pool, id)),
    );
    for (const row of this.#rows.keepOnly(new Set(kept))) this.#options.tables.endpoints.setHealthy(row, false);
  }

  close(): void {
    this.#discovery.close();
    this.#monitor.close();
  }

  #endpointsFound(pool: string, found: readonly ResolvedEndpoint[]): void {
    const config = this.#config;
    if (config === undefined) return;
    this.#check(pool, found);
    this.#options.log.info("endpoints found", { pool, endpoints: found.map(({ id }) => id).join(" ") });
    this.#options.onChange(pool, this.specs(pool));
    this.keepOnly(config);
  }

  #check(pool: string, endpoints: readonly ResolvedEndpoint[]): void {
    const config = this.#config?.pools[pool];
    if (config === undefined) return;
    for (const { id, weight } of endpoints) {
      this.#options.tables.endpoints.setWeight(this.#rows.take(rowName(pool, id)), weight);
    }
    const { proxyProtocol } = config.connections;
    const preface = proxyProtocol === undefined ? undefined : localHeader(proxyProtocol);
    this.#monitor.setPool(pool, config.health ?? this.#defaultCheck(pool), endpoints, preface);
  }

  /** Connecting cannot fail for a service that merely answers 404 on /, so it is the safe check when nothing is said. */
  #defaultCheck(pool: string): HealthConfig {
    const isDatagrams = this.#config !== undefined && datagramPools(this.#config).has(pool);
    return healthSchema.parse({ type: isDatagrams ? "udp" : "tcp" });
  }

  #healthChanged({ pool, id, status, reason }: HealthChange): void {
    const row = this.#rows.get(rowName(pool, id));
    if (row === undefined) return;
    const { tables, log } = this.#options;
    const wasEligible = tables.endpoints.isEligible(row);
    tables.endpoints.setHealthy(row, status === "healthy");
    if (status === "unhealthy") log.warn("endpoint is down", { pool, endpoint: id, reason });
    else if (!wasEligible && reason !== "not checked") log.info("endpoint is up", { pool, endpoint: id, reason });
  }
}

function rowName(pool: string, id: string): string {
  return `${pool} ${id}`;
}
