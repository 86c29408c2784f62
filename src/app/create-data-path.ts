/** The data path of one worker: everything that serves, wired together. */
import { buildBalancer } from "../balancing/build.ts";
import { algorithms } from "../balancing/registry.ts";
import type { Clock, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { SharedCounters } from "../base/shared-counters.ts";
import type { HttpContext } from "../http/context.ts";
import { HttpDate } from "../http/http-date.ts";
import { RequestIds } from "../http/request-id.ts";
import type { ListenerSnapshot } from "../http/snapshot.ts";
import type { ListenerContext } from "../listeners/arrivals.ts";
import { HttpListener } from "../listeners/http-listener.ts";
import type { ListenerConfig } from "../listeners/schema.ts";
import { TcpListener } from "../listeners/tcp-listener.ts";
import { AccessLog } from "../observability/access-log.ts";
import type { Log } from "../observability/log.ts";
import { type MetricsTable, MetricsWriter, POOL } from "../observability/metrics-table.ts";
import { EMPTY_VIEW, type Pool, type PoolView } from "../pools/pool.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { WaitQueue } from "../pools/wait-queue.ts";
import type { TcpSnapshot } from "../tcp/snapshot.ts";
import { type Challenge, ChallengeTable } from "../tls/acme/challenges.ts";
import { ByteWriter } from "../transport/byte-writer.ts";
import { DeadlineSweep } from "../transport/deadlines.ts";
import { Peeker } from "../transport/peek.ts";
import { ConnectionPool } from "../upstreams/connection-pool.ts";
import { Endpoint, type EndpointSpec } from "../upstreams/endpoint.ts";
import type { EndpointTable } from "../upstreams/endpoint-table.ts";
import { buildSnapshots } from "./build-snapshot.ts";
import { buildTcpSnapshots } from "./build-tcp.ts";
import type { DataPath, WorkerUpdate } from "./data-path.ts";

const WRITER_BYTES = 524_288;
const LOG_FLUSH_INTERVAL_MS = 200;

export interface DataPathOptions {
  readonly worker: number;
  readonly endpointTable: EndpointTable;
  readonly metrics: MetricsTable;
  readonly counters: SharedCounters;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

export function createDataPath(options: DataPathOptions): DataPath {
  return new WorkerDataPath(options);
}

/** What was built for an update and is not served yet. */
interface Prepared {
  readonly update: WorkerUpdate;
  readonly pools: Map<string, PoolInUse>;
  readonly snapshots: Snapshots;
  readonly added: Map<string, RunningListener>;
  readonly accessLog: AccessLog | undefined;
}

interface Snapshots {
  readonly http: Map<string, ListenerSnapshot>;
  readonly tcp: Map<string, TcpSnapshot>;
}

type RunningListener = HttpListener | TcpListener;

interface PoolInUse extends Pool {
  retryAttempts: number;
  key: Pool["key"];
  config: PoolConfig;
}

class WorkerDataPath implements DataPath {
  readonly #options: DataPathOptions;
  readonly #context: HttpContext & ListenerContext;
  readonly #logTimer: { stop(): void };
  #pools = new Map<string, PoolInUse>();
  #listeners = new Map<string, RunningListener>();
  /** Removed by a reload; their connections are still open. */
  #leaving = new Set<RunningListener>();
  #accessLogConfig = "";
  #prepared: Prepared | undefined;

  constructor(options: DataPathOptions) {
    this.#options = options;
    const { clock, timers, random, log } = options;
    this.#context = {
      clock,
      random,
      log,
      metrics: options.metrics.writer(options.worker),
      sweep: new DeadlineSweep(clock, timers),
      peeker: new Peeker(timers),
      challenges: new ChallengeTable(() => clock.wallNow()),
      requestIds: new RequestIds(clock),
      date: new HttpDate(clock),
      accessLog: undefined,
      writer: new ByteWriter(WRITER_BYTES),
      draining: false,
    };
    this.#logTimer = timers.every(LOG_FLUSH_INTERVAL_MS, () => this.#context.accessLog?.flush());
  }

  prepare(update: WorkerUpdate, descriptors: Readonly<Record<string, number>>): void {
    this.abort();
    const pools = new Map(
      Object.entries(update.config.pools).map(([name, config]) => [name, this.#poolFor(name, config, update)]),
    );
    const { random } = this.#options;
    const previous = (listener: string) => this.#listeners.get(listener)?.settings.tls;
    const snapshots: Snapshots = {
      http: buildSnapshots(update, pools, random, previous),
      tcp: buildTcpSnapshots(update, pools, random, previous),
    };
    const accessLog = this.#openAccessLog(update);
    const added = new Map<string, RunningListener>();
    this.#prepared = { update, pools, snapshots, added, accessLog };
    try {
      for (const [name, descriptor] of Object.entries(descriptors))
        added.set(name, this.#openListener(name, descriptor, update.config.listeners[name]!, snapshots));
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  commit(): void {
    const prepared = this.#prepared;
    if (prepared === undefined) return;
    this.#prepared = undefined;
    const { update, pools, snapshots, added } = prepared;
    const before = this.#pools;
    this.#pools = pools;
    for (const [name, pool] of pools) this.#applyPool(name, pool, update);
    for (const [name, pool] of before) if (!pools.has(name)) retire(pool.view);
    for (const [name, listener] of added) {
      const replaced = this.#listeners.get(name);
      if (replaced !== undefined) this.#leave(replaced);
      this.#listeners.set(name, listener);
    }
    for (const [name, listener] of this.#listeners) {
      if (serve(listener, name, snapshots, update.config.listeners[name])) continue;
      this.#listeners.delete(name);
      this.#leave(listener);
    }
    this.#switchAccessLog(update, prepared.accessLog);
  }

  abort(): void {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    if (prepared === undefined) return;
    for (const listener of prepared.added.values()) {
      listener.stop();
      listener.closeConnections();
    }
    void prepared.accessLog?.close();
  }

  replaceEndpoints(pool: string, endpoints: readonly EndpointSpec[]): void {
    const inUse = this.#pools.get(pool);
    if (inUse !== undefined) this.#applyEndpoints(inUse, endpoints);
  }

  setChallenges(challenges: readonly Challenge[]): void {
    this.#context.challenges.replace(challenges);
    for (const listener of this.#listeners.values()) listener.challengesChanged();
  }

  drain(handedOver: boolean): void {
    this.#context.draining = true;
    for (const listener of this.#listeners.values()) {
      if (handedOver) listener.stop();
      listener.drain();
    }
  }

  openConnections(): number {
    for (const listener of this.#leaving) if (listener.openConnections === 0) this.#leaving.delete(listener);
    let open = 0;
    for (const listener of [...this.#listeners.values(), ...this.#leaving]) open += listener.openConnections;
    return open;
  }

  async close(): Promise<void> {
    this.abort();
    for (const listener of [...this.#listeners.values(), ...this.#leaving]) {
      listener.stop();
      listener.closeConnections();
    }
    this.#listeners.clear();
    this.#leaving.clear();
    for (const pool of this.#pools.values()) {
      pool.queue.close();
      retire(pool.view);
    }
    this.#context.sweep.close();
    this.#context.peeker.close();
    this.#logTimer.stop();
    await this.#context.accessLog?.close();
    this.#context.accessLog = undefined;
  }

  reopenLogs(): void {
    this.#context.accessLog?.reopen();
  }

  #openListener(name: string, descriptor: number, config: ListenerConfig, snapshots: Snapshots): RunningListener {
    const { counters } = this.#options;
    return config.protocol === "http"
      ? new HttpListener(descriptor, snapshots.http.get(name)!, config, this.#context, counters)
      : new TcpListener(descriptor, snapshots.tcp.get(name)!, config, this.#context, counters);
  }

  #leave(listener: RunningListener): void {
    listener.stop();
    listener.drain();
    this.#leaving.add(listener);
  }

  /** The pool of that name that is in use already, or a new one. Its settings change with `commit`. */
  #poolFor(name: string, config: PoolConfig, update: WorkerUpdate): PoolInUse {
    const known = this.#pools.get(name);
    if (known !== undefined) return known;
    const cells = MetricsWriter.rowStart("pool", update.rows.pools[name] ?? 0);
    const { clock, timers } = this.#options;
    const onLength = (change: number): void => this.#context.metrics.add(cells + POOL.waiting, change);
    const queue = new WaitQueue(config.queue.size, config.queue.timeout, clock, timers, onLength);
    return { name, view: EMPTY_VIEW, key: undefined, queue, retryAttempts: 0, cells, config };
  }

  #applyPool(name: string, pool: PoolInUse, update: WorkerUpdate): void {
    const config = update.config.pools[name]!;
    pool.config = config;
    pool.retryAttempts = config.retry.attempts;
    pool.key = isKeyed(config) ? (config.key ?? "clientIp") : undefined;
    pool.queue.configure(config.queue.size, config.queue.timeout);
    this.#applyEndpoints(pool, update.endpoints[name] ?? []);
  }

  /** Endpoints that stay keep their connections and what is in flight; only what changed is built anew. */
  #applyEndpoints(pool: PoolInUse, specs: readonly EndpointSpec[]): void {
    const known = new Map(pool.view.endpoints.map((endpoint) => [endpoint.id, endpoint]));
    const endpoints = specs.map((spec) => {
      const same = known.get(spec.id);
      const reusable =
        same !== undefined &&
        same.row === spec.row &&
        same.tier === spec.tier &&
        same.maxConnections === spec.maxConnections;
      if (!reusable) return this.#newEndpoint(spec, pool.config);
      known.delete(spec.id);
      same.connections.configure(pool.config.connections);
      return same;
    });
    pool.view = this.#buildView(pool.config, endpoints);
    for (const gone of known.values()) gone.connections.retire();
    if (pool.queue.length > 0) pool.queue.wake();
  }

  #newEndpoint(spec: EndpointSpec, config: PoolConfig): Endpoint {
    const cells = MetricsWriter.rowStart("endpoint", spec.row);
    const connections = new ConnectionPool(spec.host, spec.port, cells, config.connections, this.#context);
    return new Endpoint(spec, cells, connections, this.#options.endpointTable, this.#options.worker);
  }

  #buildView(config: PoolConfig, endpoints: readonly Endpoint[]): PoolView {
    const { random, clock } = this.#options;
    const numbers = [...new Set(endpoints.map((endpoint) => endpoint.tier))].sort((a, b) => a - b);
    const observers = new Map<Endpoint, ReturnType<typeof buildBalancer<Endpoint>>>();
    const tiers = numbers.map((tier) => {
      const members = endpoints.filter((endpoint) => endpoint.tier === tier);
      const balancer = buildBalancer(config.balance, members, { random, clock });
      if (balancer.onRelease !== undefined) for (const member of members) observers.set(member, balancer);
      return balancer;
    });
    return { endpoints, tiers, observers: observers.size === 0 ? undefined : observers };
  }

  /** A log that stays as it is stays open; a new one is opened before anything is changed, so that failing changes nothing. */
  #openAccessLog(update: WorkerUpdate): AccessLog | undefined {
    const { accessLog } = update.config;
    if (accessLog === false || JSON.stringify(accessLog) === this.#accessLogConfig) return undefined;
    return new AccessLog(accessLog);
  }

  #switchAccessLog(update: WorkerUpdate, opened: AccessLog | undefined): void {
    const wanted = JSON.stringify(update.config.accessLog);
    if (wanted === this.#accessLogConfig) return;
    this.#accessLogConfig = wanted;
    void this.#context.accessLog?.close();
    this.#context.accessLog = opened;
  }
}

/** Hands a listener its new settings; false when the configuration does not have it any more. */
function serve(
  listener: RunningListener,
  name: string,
  { http, tcp }: Snapshots,
  config: ListenerConfig | undefined,
): boolean {
  if (config === undefined) return false;
  const httpSettings = http.get(name);
  const tcpSettings = tcp.get(name);
  if (listener instanceof HttpListener && httpSettings !== undefined) listener.serve(httpSettings, config);
  else if (listener instanceof TcpListener && tcpSettings !== undefined) listener.serve(tcpSettings, config);
  else return false;
  return true;
}

function isKeyed(config: PoolConfig): boolean {
  return algorithms[config.balance.algorithm].keyed;
}

function retire(view: PoolView): void {
  for (const endpoint of view.endpoints) endpoint.connections.retire();
}
