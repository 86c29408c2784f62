/** The pools of one worker, from one configuration to the next: what is in flight and what was learned lives on. */
import { algorithms } from "../balancing/registry.ts";
import { at } from "../base/place.ts";
import type { HttpContext } from "../http/context.ts";
import { MetricsWriter, POOL } from "../observability/metrics-table.ts";
import { EMPTY_VIEW } from "../pools/pool.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { DegradedEndpoint } from "../pools/stand-in.ts";
import { WaitQueue } from "../pools/wait-queue.ts";
import { ConnectionPool } from "../upstreams/connection-pool.ts";
import { Endpoint, type EndpointSpec } from "../upstreams/endpoint.ts";
import { EndpointTls } from "../upstreams/endpoint-tls.ts";
import { Http2Pool } from "../upstreams/http2/http2-pool.ts";
import { buildFixedAnswer } from "./build-action.ts";
import { SessionsBuilder } from "./build-sessions.ts";
import { buildView } from "./build-view.ts";
import type { DataPathOptions, WorkerUpdate } from "./data-path.ts";
import { endPool, type PoolInUse, queueOptions, retire } from "./pool-in-use.ts";
import { PoolPolicies } from "./pool-policies.ts";

/** What was built for an update and is not used yet. */
export interface PreparedPools {
  readonly pools: Map<string, PoolInUse>;
  readonly endpointTls: ReadonlyMap<string, EndpointTls | undefined>;
}

export class PoolsInUse {
  readonly #options: DataPathOptions;
  readonly #context: HttpContext;
  /** Ends what is under way on an endpoint, whatever kind of listener it came by. */
  readonly #closeAll: (endpoint: Endpoint) => void;
  readonly #policies: PoolPolicies;
  readonly #sessions: SessionsBuilder;
  #pools = new Map<string, PoolInUse>();

  constructor(options: DataPathOptions, context: HttpContext, closeAll: (endpoint: Endpoint) => void) {
    this.#options = options;
    this.#context = context;
    this.#closeAll = closeAll;
    this.#sessions = new SessionsBuilder(options);
    const { resilience: memory, worker, log, report, onSuspect, sharedOffsetMs = 0, clock, timers, random } = options;
    const { metrics } = context;
    this.#policies = new PoolPolicies({
      memory,
      worker,
      metrics,
      log,
      report,
      onSuspect,
      sharedOffsetMs,
      clock,
      timers,
      random,
    });
  }

  get(name: string): PoolInUse | undefined {
    return this.#pools.get(name);
  }

  /** Throws an EvenkeelError when the update cannot be served; nothing has changed then. */
  prepare(update: WorkerUpdate): PreparedPools {
    const configs = Object.entries(update.config.pools);
    return {
      pools: new Map(configs.map(([name, config]) => [name, this.#poolFor(name, config, update)])),
      endpointTls: new Map(configs.map(([name, config]) => [name, buildTls(name, config)])),
    };
  }

  commit(update: WorkerUpdate, prepared: PreparedPools): void {
    const before = this.#pools;
    this.#pools = prepared.pools;
    for (const [name, pool] of prepared.pools) this.#apply(name, pool, update, prepared.endpointTls.get(name));
    for (const [name, pool] of before) if (!prepared.pools.has(name)) endPool(pool);
    this.#sessions.closeUnused(Object.values(update.config.pools));
  }

  /** Endpoints that stay keep their connections and what is in flight; only what changed is built anew. */
  applyEndpoints(pool: PoolInUse, specs: readonly EndpointSpec[]): void {
    const known = new Map(pool.view.endpoints.map((endpoint) => [endpoint.id, endpoint]));
    const endpoints = specs.map((spec) => {
      const same = known.get(spec.id);
      const reusable =
        same !== undefined &&
        same.row === spec.row &&
        same.tier === spec.tier &&
        same.maxConnections === spec.maxConnections;
      if (!reusable) return this.#newEndpoint(spec, pool);
      known.delete(spec.id);
      same.connections.configure(pool.config.connections);
      return same;
    });
    const { workers } = this.#options.endpointTable;
    pool.view = buildView(pool, endpoints, this.#policies, { ...this.#options, workers });
    pool.sessions?.replaceEndpoints(endpoints);
    const kept = new Set(specs.map(({ id }) => id));
    for (const gone of known.values()) {
      gone.connections.retire();
      // One that only got other settings goes on with what it has, however long that takes.
      if (!kept.has(gone.id)) this.#options.timers.after(pool.config.drainTimeout, () => this.#closeAll(gone));
    }
    if (pool.queue.length > 0) pool.queue.wake();
  }

  /** Weights in the shared table have changed: what was built from them is built anew. */
  weightsChanged({ view, queue }: PoolInUse): void {
    const { endpoints, tiers, degraded, plan } = view;
    const oneOfEach = [...new Map(endpoints.map((endpoint) => [endpoint.tier, endpoint])).values()];
    oneOfEach.sort((a, b) => a.tier - b.tier);
    for (const [index, endpoint] of oneOfEach.entries()) {
      tiers[index]?.onWeightChanged?.(endpoint);
      degraded?.[index]?.onWeightChanged?.(DegradedEndpoint.of(endpoint));
    }
    plan?.weightsChanged();
    if (queue.length > 0) queue.wake();
  }

  close(): void {
    for (const pool of this.#pools.values()) {
      pool.queue.close();
      endPool(pool);
    }
    this.#sessions.closeUnused([]);
  }

  /** The pool of that name that is in use already, or a new one. Its settings change with `commit`. */
  #poolFor(name: string, config: PoolConfig, update: WorkerUpdate): PoolInUse {
    const known = this.#pools.get(name);
    if (known !== undefined) return known;
    const row = update.rows.pools[name] ?? 0;
    const cells = MetricsWriter.rowStart("pool", row);
    const { clock, timers } = this.#options;
    const onLength = (change: number): void => this.#context.metrics.add(cells + POOL.waiting, change);
    const queue = new WaitQueue(queueOptions(config), clock, timers, onLength);
    const retry = this.#policies.retry(row, config, () => pool);
    const nothing = {
      view: EMPTY_VIEW,
      key: undefined,
      sessions: undefined,
      priorityHeader: undefined,
      gate: undefined,
      hedging: undefined,
      fallback: undefined,
      sorry: undefined,
      tls: undefined,
      wire: "",
    };
    const pool: PoolInUse = { name, row, ...nothing, queue, retry, cells, config };
    return pool;
  }

  #apply(name: string, pool: PoolInUse, { config: { pools }, endpoints }: WorkerUpdate, tls?: EndpointTls): void {
    const config = pools[name]!;
    const { protocol, proxyProtocol } = config.connections;
    const wire = JSON.stringify([protocol, proxyProtocol, tls?.fingerprint]);
    if (wire !== pool.wire) {
      pool.tls = tls;
      pool.wire = wire;
      retire(pool.view);
      pool.view = EMPTY_VIEW;
    }
    pool.config = config;
    pool.retry = this.#policies.retry(pool.row, config, () => pool);
    pool.gate = this.#policies.gate(pool, config, pool.gate);
    pool.hedging = this.#policies.hedging(config, pool.hedging);
    pool.fallback = config.fallback === undefined ? undefined : this.#pools.get(config.fallback);
    pool.sorry = config.sorry === undefined ? undefined : buildFixedAnswer(config.sorry);
    pool.key = algorithms[config.balance.algorithm].keyed ? (config.key ?? "clientIp") : undefined;
    pool.sessions = this.#sessions.build(name, config.sessions);
    pool.queue.configure(queueOptions(config));
    pool.priorityHeader = config.queue.priorityHeader;
    this.applyEndpoints(pool, endpoints[name] ?? []);
  }

  #newEndpoint(spec: EndpointSpec, { config, tls }: PoolInUse): Endpoint {
    const cells = MetricsWriter.rowStart("endpoint", spec.row);
    const { host, port, name } = spec;
    const connections = new ConnectionPool({ host, port, name, tls }, cells, config.connections, this.#context);
    connections.isLeaving = () => this.#options.endpointTable.isLeaving(spec.row);
    const channels =
      config.connections.protocol === "http2" ? new Http2Pool(connections, cells, this.#context) : connections;
    return new Endpoint(spec, cells, connections, channels, this.#options.endpointTable, this.#options.worker);
  }
}

function buildTls(name: string, { connections: { tls, protocol } }: PoolConfig): EndpointTls | undefined {
  if (tls === undefined) return undefined;
  const protocols = protocol === "http2" ? ["h2"] : tls.alpn;
  return at(["pools", name, "connections", "tls"], () => new EndpointTls(tls, protocols));
}
