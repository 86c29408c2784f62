/**
 * All endpoints of all pools: where they are, whether they are well, what operators have decided about them, and their rows
 * in the shared tables.
 */
import { parseAddress } from "../base/address.ts";
import type { Clock, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Config } from "../config/schema.ts";
import { type AgentChange, type HealthChange, HealthMonitor } from "../health/monitor.ts";
import type { EventLog } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import { Discovery, fixedEndpoint, type ResolvedEndpoint, type Resolver } from "../upstreams/discovery.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import { type EndpointChange, RuntimeChanges } from "../upstreams/runtime-changes.ts";
import type { SavedChanges } from "../upstreams/saved-changes.ts";
import type { EndpointConfig } from "../upstreams/schema.ts";
import { CheckWays } from "./check-ways.ts";
import { EndpointStandings } from "./endpoint-standings.ts";
import type { EndpointStatus } from "./endpoint-status.ts";
import { healthCheckOf } from "./health-check-of.ts";
import type { SharedTables } from "./memory.ts";
import { Rows } from "./rows.ts";

const LOOK_MS = 20;
/** Agents may say something else all the time; weights are passed on no more often than this. */
const WEIGHTS_MS = 200;

export interface EndpointRegistryOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly events: EventLog;
  readonly path: string;
  readonly resolver: Resolver;
  readonly tables: SharedTables;
  readonly capacity: number;
  /** What operators have changed in the process before this one. */
  readonly inherited: SavedChanges | undefined;
  /** The endpoints of a pool have changed on their own. */
  readonly onChange: (pool: string, specs: readonly EndpointSpec[]) => void;
  /** Weights in the shared table have changed: what was built from them is to be built anew. */
  readonly onWeights: (pool: string) => void;
  /** Connections to an endpoint are to be closed: those that are idle, or all. */
  readonly onLeaving: (pool: string, id: string, which: "idle" | "all") => void;
}

export class EndpointRegistry {
  readonly #options: EndpointRegistryOptions;
  readonly #rows: Rows;
  readonly #discovery: Discovery;
  readonly #monitor: HealthMonitor;
  readonly #ways = new CheckWays();
  readonly #changes: RuntimeChanges;
  readonly #standings: EndpointStandings;
  /** As they are used: found, changed by operators. */
  readonly #endpoints = new Map<string, readonly ResolvedEndpoint[]>();
  /** Pools whose weights are about to be passed on. */
  readonly #reweighted = new Set<string>();
  #config: Config | undefined;
  #saved: SavedChanges | undefined;

  constructor(options: EndpointRegistryOptions) {
    this.#options = options;
    this.#changes = new RuntimeChanges(options.inherited);
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
    this.#standings = new EndpointStandings(options);
    this.#discovery = new Discovery({
      resolver,
      timers,
      onEndpoints: (pool) => this.#endpointsFound(pool),
      onWarning: (message, fields) => log.warn(message, fields),
    });
    this.#monitor = new HealthMonitor({
      clock,
      timers,
      random,
      path,
      onChange: (change) => this.#healthChanged(change),
      onAgent: (change) => this.#agentChanged(change),
    });
  }

  /** Finds and checks the endpoints of this configuration from now on. */
  watch(config: Config): void {
    this.#saved = this.#changes.save();
    this.#watch(config);
  }

  /** What operators have changed, for the process that takes this one's place. */
  changes(): SavedChanges {
    return this.#changes.save();
  }

  /** What was watched last is refused: everything is as before. */
  goBack(config: Config): void {
    if (this.#saved !== undefined) this.#changes.restore(this.#saved);
    this.#watch(config);
  }

  /** Waits until names are resolved and endpoints have been checked once, within these times. */
  async settle(namesMs: number, checksMs: number): Promise<void> {
    await this.#discovery.whenSettled(namesMs);
    const until = this.#options.clock.now() + checksMs;
    const isOpen = ({ status, state }: EndpointStatus): boolean => status === "checking" && state !== "maintenance";
    while (this.#options.clock.now() < until && this.list().some(isOpen)) {
      await new Promise<void>((resolve) => void this.#options.timers.after(LOOK_MS, resolve));
    }
  }

  specs(pool: string): EndpointSpec[] {
    return this.#of(pool).map(({ id, host, port, name, tier, maxConnections }) => ({
      id,
      host,
      port,
      name,
      tier,
      maxConnections,
      row: this.#rows.take(rowName(pool, id)),
    }));
  }

  /** Those of one pool, or all. */
  list(pool?: string): EndpointStatus[] {
    const pools = pool === undefined ? Object.keys(this.#config?.pools ?? {}) : [pool];
    return pools.flatMap((name) => this.#of(name).map((endpoint) => this.#statusOf(name, endpoint)));
  }

  /** Changes state and weight until the file says something else. False when there is no such endpoint. */
  change(pool: string, id: string, change: EndpointChange): boolean {
    const base = this.#changes.base(pool, id, this.#discovery.endpoints(pool));
    if (base === undefined || !this.#of(pool).some((endpoint) => endpoint.id === id)) return false;
    this.#changes.set(pool, base, change);
    this.#refresh(pool);
    if (change.state === "ready") this.#standings.trust(rowName(pool, id));
    return true;
  }

  /** Adds an endpoint by IP address and port. Returns why not, or "" once it is there. */
  add(pool: string, config: EndpointConfig): string {
    const endpoint = fixedEndpoint(config);
    if (endpoint === undefined) return "expected an IP address and a port; names and SRV records belong in the file";
    if (this.#of(pool).some(({ id }) => id === endpoint.id)) return `${endpoint.id} is in this pool already`;
    this.#changes.add(pool, endpoint);
    this.#refresh(pool);
    this.#standings.tell("endpoint.added", pool, endpoint.id, "added by an operator");
    this.#options.onChange(pool, this.specs(pool));
    return "";
  }

  /** What is under way on it may finish, as when it drains. False when there is no such endpoint. */
  remove(pool: string, id: string): boolean {
    if (!this.#of(pool).some((endpoint) => endpoint.id === id)) return false;
    this.#changes.remove(pool, id);
    this.#refresh(pool);
    this.#standings.tell("endpoint.removed", pool, id, "removed by an operator");
    this.#options.onChange(pool, this.specs(pool));
    if (this.#config !== undefined) this.keepOnly(this.#config);
    return true;
  }

  /** As the program writes the endpoint at this address: `[::1]:80`. */
  static idOf(text: string): string {
    const address = parseAddress(text);
    if (address === undefined) return text;
    return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
  }

  /** It was taken out for how it answers, or is back. */
  ejectionChanged(pool: string, id: string, ejected: boolean, reason: string): void {
    this.#standings.ejectionChanged(rowName(pool, id), ejected, reason);
  }

  /** When an endpoint last passed its check, on the clock's scale; undefined when the last one failed or there was none. */
  lastPassedMs(pool: string, id: string): number | undefined {
    return this.#monitor.lastPassedMs(pool, id);
  }

  /** Gives up the rows of endpoints that are gone. */
  keepOnly(config: Config): void {
    const kept = Object.keys(config.pools).flatMap((pool) => this.#of(pool).map(({ id }) => rowName(pool, id)));
    for (const row of this.#rows.keepOnly(new Set(kept))) this.#options.tables.endpoints.setHealthy(row, false);
    this.#standings.keepOnly(new Set(kept));
  }

  close(): void {
    this.#discovery.close();
    this.#monitor.close();
    this.#standings.close();
  }

  #of(pool: string): readonly ResolvedEndpoint[] {
    return this.#endpoints.get(pool) ?? [];
  }

  #watch(config: Config): void {
    const before = this.#config;
    this.#config = config;
    for (const name of Object.keys(before?.pools ?? {})) {
      if (config.pools[name] !== undefined) continue;
      this.#discovery.removePool(name);
      this.#monitor.removePool(name);
      this.#ways.forgetPool(name);
      this.#endpoints.delete(name);
    }
    this.#changes.keepOnly(new Set(Object.keys(config.pools)));
    for (const [name, pool] of Object.entries(config.pools)) {
      this.#discovery.setPool(name, pool.endpoints);
      const isComplete = pool.endpoints.every((endpoint) => fixedEndpoint(endpoint) !== undefined);
      this.#changes.reconcile(name, this.#discovery.endpoints(name), isComplete);
      this.#refresh(name);
    }
  }

  #endpointsFound(pool: string): void {
    const config = this.#config;
    if (config === undefined) return;
    const before = new Set(this.#of(pool).map(({ id }) => id));
    this.#refresh(pool);
    const ids = this.#of(pool).map(({ id }) => id);
    for (const id of ids)
      if (!before.delete(id)) this.#standings.tell("endpoint.added", pool, id, "its name resolves to it");
    for (const id of before) this.#standings.tell("endpoint.removed", pool, id, "no name resolves to it any more");
    this.#options.log.info("endpoints found", { pool, endpoints: ids.join(" ") });
    this.#options.onChange(pool, this.specs(pool));
    this.keepOnly(config);
  }

  /** Works out the endpoints of a pool anew, and brings everything in line that hangs on them. */
  #refresh(pool: string): void {
    const config = this.#config?.pools[pool];
    if (this.#config === undefined || config === undefined) return;
    const way = this.#ways.of(pool, config);
    const isFirst = this.#of(pool).length === 0;
    const endpoints = this.#changes.apply(pool, this.#discovery.endpoints(pool));
    this.#endpoints.set(pool, endpoints);
    let reweighted = false;
    for (const endpoint of endpoints) {
      const name = rowName(pool, endpoint.id);
      const place = { pool, id: endpoint.id, name, row: this.#rows.take(name), config };
      reweighted = this.#standings.set(place, endpoint, isFirst) || reweighted;
    }
    const checked = endpoints.filter(({ state }) => state !== "maintenance");
    this.#monitor.setPool(pool, healthCheckOf(this.#config, pool), checked, way);
    for (const { id } of endpoints) {
      const { agent } = this.#monitor.status(pool, id) ?? {};
      reweighted = this.#standings.agentStands(rowName(pool, id), agent) || reweighted;
    }
    if (reweighted) this.#options.onWeights(pool);
  }

  #healthChanged({ pool, id, status, reason }: HealthChange): void {
    this.#standings.healthChanged(rowName(pool, id), status, reason);
  }

  #agentChanged({ pool, id, agent }: AgentChange): void {
    if (!this.#standings.agentChanged(rowName(pool, id), agent) || this.#reweighted.has(pool)) return;
    this.#reweighted.add(pool);
    this.#options.timers.after(WEIGHTS_MS, () => {
      this.#reweighted.delete(pool);
      this.#options.onWeights(pool);
    });
  }

  #statusOf(pool: string, endpoint: ResolvedEndpoint): EndpointStatus {
    const { id, tier, maxConnections } = endpoint;
    const name = rowName(pool, id);
    const health = this.#monitor.status(pool, id);
    const standing = this.#standings.statusOf(name);
    const inMaintenance = endpoint.state === "maintenance";
    return {
      pool,
      id,
      row: this.#rows.get(name) ?? 0,
      tier,
      maxConnections,
      weight: endpoint.weight,
      state: endpoint.state,
      added: this.#changes.isAdded(pool, id),
      status: inMaintenance ? "checking" : (health?.status ?? "healthy"),
      reason: inMaintenance ? "in maintenance, not checked" : (health?.reason ?? "not checked"),
      sinceMs: health?.sinceMs ?? standing.stateSinceMs,
      checks: health?.history ?? [],
      agent: health?.agent,
      ...standing,
    };
  }
}

function rowName(pool: string, id: string): string {
  return `${pool} ${id}`;
}
