/** The data path of one worker: everything that serves, wired together. */
import { buildBalancer } from "../balancing/build.ts";
import { algorithms } from "../balancing/registry.ts";
import { afterEvents, type Clock, type Timers } from "../base/clock.ts";
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
import { UdpListener } from "../listeners/udp-listener.ts";
import { AccessLog } from "../observability/access-log.ts";
import type { EventReport } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import { type MetricsTable, MetricsWriter, POOL } from "../observability/metrics-table.ts";
import { EMPTY_VIEW, type Pool, type PoolView, type SorryAnswer } from "../pools/pool.ts";
import type { PoolGate } from "../pools/pool-gate.ts";
import type { PoolRetry } from "../pools/pool-retry.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { WaitQueue, type WaitQueueOptions } from "../pools/wait-queue.ts";
import { codelOptions } from "../resilience/options.ts";
import { WEIGHT_SCALE } from "../resilience/slow-start.ts";
import type { PoolSessions } from "../sessions/pool-sessions.ts";
import type { SessionTable } from "../sessions/session-table.ts";
import type { TcpSnapshot } from "../tcp/snapshot.ts";
import { type Challenge, ChallengeTable } from "../tls/acme/challenges.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";
import { ByteWriter } from "../transport/byte-writer.ts";
import { DatagramEngine } from "../transport/datagram-engine.ts";
import { DeadlineSweep } from "../transport/deadlines.ts";
import { Peeker } from "../transport/peek.ts";
import type { UdpSnapshot } from "../udp/snapshot.ts";
import { ConnectionPool } from "../upstreams/connection-pool.ts";
import { Endpoint, type EndpointSpec } from "../upstreams/endpoint.ts";
import type { EndpointTable } from "../upstreams/endpoint-table.ts";
import { EndpointTls } from "../upstreams/endpoint-tls.ts";
import { Http2Pool } from "../upstreams/http2/http2-pool.ts";
import { at, buildFixedAnswer } from "./build-action.ts";
import { SessionsBuilder } from "./build-sessions.ts";
import { buildSnapshots } from "./build-snapshot.ts";
import { buildTcpSnapshots } from "./build-tcp.ts";
import { buildUdpSnapshots } from "./build-udp.ts";
import type { DataPath, WorkerUpdate } from "./data-path.ts";
import { OverloadMonitor } from "./overload-monitor.ts";
import { PoolPolicies } from "./pool-policies.ts";
import type { ResilienceMemory } from "./resilience-memory.ts";

const WRITER_BYTES = 524_288;
const LOG_FLUSH_INTERVAL_MS = 200;

export interface DataPathOptions {
  readonly worker: number;
  readonly endpointTable: EndpointTable;
  readonly metrics: MetricsTable;
  readonly resilience: ResilienceMemory;
  readonly counters: SharedCounters;
  readonly sessions: SessionTable;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** To be added to the clock's time for one that all processes agree on; 0 where there is one process. */
  readonly sharedOffsetMs?: number;
  /** Told of what has changed here. */
  readonly report: (event: EventReport) => void;
}

export function createDataPath(options: DataPathOptions): DataPath {
  return new WorkerDataPath(options);
}

/** What was built for an update and is not served yet. */
interface Prepared {
  readonly update: WorkerUpdate;
  readonly pools: Map<string, PoolInUse>;
  readonly snapshots: Snapshots;
  readonly endpointTls: ReadonlyMap<string, EndpointTls | undefined>;
  readonly added: Map<string, RunningListener>;
  readonly accessLog: AccessLog | undefined;
}

interface Snapshots {
  readonly http: Map<string, ListenerSnapshot>;
  readonly tcp: Map<string, TcpSnapshot>;
  readonly udp: Map<string, UdpSnapshot>;
}

type RunningListener = HttpListener | TcpListener | UdpListener;

interface PoolInUse extends Pool {
  /** In the metrics and the shared counts. */
  readonly row: number;
  retry: PoolRetry;
  gate: PoolGate | undefined;
  fallback: Pool | undefined;
  sorry: SorryAnswer | undefined;
  key: Pool["key"];
  sessions: PoolSessions<Endpoint> | undefined;
  config: PoolConfig;
  tls: EndpointTls | undefined;
  /** What connections to its endpoints are made with: when it changes, they are all made anew. */
  wire: string;
}

class WorkerDataPath implements DataPath {
  readonly #options: DataPathOptions;
  readonly #context: HttpContext & ListenerContext;
  readonly #policies: PoolPolicies;
  readonly #overload: OverloadMonitor;
  readonly #logTimer: { stop(): void };
  readonly #sessions: SessionsBuilder;
  #pools = new Map<string, PoolInUse>();
  #listeners = new Map<string, RunningListener>();
  /** Removed by a reload; their connections are still open. */
  #leaving = new Set<RunningListener>();
  #accessLogConfig = "";
  #prepared: Prepared | undefined;
  #datagrams: DatagramEngine | undefined;

  constructor(options: DataPathOptions) {
    this.#options = options;
    const { clock, timers, random, log } = options;
    this.#context = {
      clock,
      timers,
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
    this.#sessions = new SessionsBuilder(options);
    this.#policies = new PoolPolicies({
      memory: options.resilience,
      worker: options.worker,
      metrics: this.#context.metrics,
      log,
      report: options.report,
      sharedOffsetMs: options.sharedOffsetMs ?? 0,
      clock,
      random,
    });
    this.#overload = new OverloadMonitor({
      clock,
      timers,
      random,
      log,
      report: options.report,
      memoryBytes: () => process.memoryUsage.rss(),
    });
    this.#logTimer = timers.every(LOG_FLUSH_INTERVAL_MS, () => this.#context.accessLog?.flush());
  }

  prepare(update: WorkerUpdate, descriptors: Readonly<Record<string, number>>): void {
    this.abort();
    const pools = new Map(
      Object.entries(update.config.pools).map(([name, config]) => [name, this.#poolFor(name, config, update)]),
    );
    const { random } = this.#options;
    const previous = (listener: string) => tlsOf(this.#listeners.get(listener));
    const snapshots: Snapshots = {
      http: buildSnapshots(update, pools, random, previous, (listener, config) =>
        this.#overload.sheddingFor(listener, config),
      ),
      tcp: buildTcpSnapshots(update, pools, random, previous),
      udp: buildUdpSnapshots(update, pools, random),
    };
    const endpointTls = new Map(
      Object.entries(update.config.pools).map(([name, pool]) => [name, buildTls(name, pool)]),
    );
    const accessLog = this.#openAccessLog(update);
    const added = new Map<string, RunningListener>();
    this.#prepared = { update, pools, snapshots, endpointTls, added, accessLog };
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
    for (const [name, pool] of pools) this.#applyPool(name, pool, prepared);
    for (const [name, pool] of before) if (!pools.has(name)) retire(pool.view);
    this.#sessions.closeUnused(Object.values(update.config.pools));
    for (const [name, listener] of added) {
      const replaced = this.#listeners.get(name);
      if (replaced !== undefined) this.#leave(replaced, update.config.shutdown.drainTimeout);
      this.#listeners.set(name, listener);
    }
    for (const [name, listener] of this.#listeners) {
      if (serve(listener, name, snapshots, update.config.listeners[name])) continue;
      this.#listeners.delete(name);
      this.#leave(listener, update.config.shutdown.drainTimeout);
    }
    this.#endReplaced();
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
    for (const listener of this.#listeners.values())
      if (!(listener instanceof UdpListener)) listener.challengesChanged();
  }

  weightsChanged(pool: string): void {
    const inUse = this.#pools.get(pool);
    if (inUse === undefined) return;
    const { endpoints, tiers } = inUse.view;
    const oneOfEach = [...new Map(endpoints.map((endpoint) => [endpoint.tier, endpoint])).values()];
    oneOfEach.sort((a, b) => a.tier - b.tier);
    for (const [index, endpoint] of oneOfEach.entries()) tiers[index]?.onWeightChanged?.(endpoint);
    if (inUse.queue.length > 0) inUse.queue.wake();
  }

  closeConnections(pool: string, id: string, which: "idle" | "all"): void {
    const endpoint = this.#pools.get(pool)?.view.endpoints.find((known) => known.id === id);
    if (endpoint === undefined) return;
    if (which === "idle") endpoint.connections.closeIdle();
    else this.#closeAll(endpoint);
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
    this.#sessions.closeUnused([]);
    this.#context.sweep.close();
    this.#context.peeker.close();
    this.#logTimer.stop();
    this.#overload.close();
    await this.#context.accessLog?.close();
    this.#context.accessLog = undefined;
  }

  reopenLogs(): void {
    this.#context.accessLog?.reopen();
    // The file may have been put aside since it was opened.
    this.#prepared?.accessLog?.reopen();
  }

  #openListener(name: string, descriptor: number, config: ListenerConfig, snapshots: Snapshots): RunningListener {
    const { counters } = this.#options;
    if (config.protocol === "udp") {
      const { clock } = this.#options;
      this.#datagrams ??= new DatagramEngine({ now: () => clock.now(), afterEvents });
      return new UdpListener(descriptor, snapshots.udp.get(name)!, config.address, this.#context, this.#datagrams);
    }
    return config.protocol === "http"
      ? new HttpListener(descriptor, snapshots.http.get(name)!, config, this.#context, counters)
      : new TcpListener(descriptor, snapshots.tcp.get(name)!, config, this.#context, counters);
  }

  #leave(listener: RunningListener, drainMs: number): void {
    // A UDP listener has one socket for all: without reading from it, those who are known could not go on.
    if (!(listener instanceof UdpListener)) listener.stop();
    listener.drain();
    this.#leaving.add(listener);
    this.#options.timers.after(drainMs, () => {
      if (this.#leaving.has(listener)) listener.closeConnections();
    });
  }

  /** Of two UDP sockets on one address, each gets some of the clients: one that begins nothing must not take any. */
  #endReplaced(): void {
    const addresses = [...this.#listeners.values()].flatMap((now) => (now instanceof UdpListener ? [now.address] : []));
    for (const old of this.#leaving)
      if (old instanceof UdpListener && addresses.includes(old.address)) old.closeConnections();
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
      gate: undefined,
      fallback: undefined,
      sorry: undefined,
      tls: undefined,
      wire: "",
    };
    const pool: PoolInUse = { name, row, ...nothing, queue, retry, cells, config };
    return pool;
  }

  #applyPool(name: string, pool: PoolInUse, { update, endpointTls }: Prepared): void {
    const config = update.config.pools[name]!;
    const tls = endpointTls.get(name);
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
    pool.fallback = config.fallback === undefined ? undefined : this.#pools.get(config.fallback);
    pool.sorry = config.sorry === undefined ? undefined : buildFixedAnswer(config.sorry);
    pool.key = isKeyed(config) ? (config.key ?? "clientIp") : undefined;
    pool.sessions = this.#sessions.build(name, config.sessions);
    pool.queue.configure(queueOptions(config));
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
      if (!reusable) return this.#newEndpoint(spec, pool);
      known.delete(spec.id);
      same.connections.configure(pool.config.connections);
      return same;
    });
    pool.view = this.#buildView(pool, endpoints);
    pool.sessions?.replaceEndpoints(endpoints);
    const kept = new Set(specs.map(({ id }) => id));
    for (const gone of known.values()) {
      gone.connections.retire();
      // One that only got other settings goes on with what it has, however long that takes.
      if (!kept.has(gone.id)) this.#options.timers.after(pool.config.drainTimeout, () => this.#closeAll(gone));
    }
    if (pool.queue.length > 0) pool.queue.wake();
  }

  #closeAll(endpoint: Endpoint): void {
    endpoint.connections.closeAll();
    for (const listener of [...this.#listeners.values(), ...this.#leaving])
      if (listener instanceof UdpListener) listener.endFlowsTo(endpoint);
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

  #buildView(pool: PoolInUse, endpoints: readonly Endpoint[]): PoolView {
    const { config } = pool;
    const { random, clock } = this.#options;
    const numbers = [...new Set(endpoints.map((endpoint) => endpoint.tier))].sort((a, b) => a - b);
    const observers = new Map<Endpoint, ReturnType<typeof buildBalancer<Endpoint>>>();
    const byTier = numbers.map((tier) => endpoints.filter((endpoint) => endpoint.tier === tier));
    const weightUnit = config.slowStart === false ? 1 : WEIGHT_SCALE;
    const tiers = byTier.map((members) => {
      const balancer = buildBalancer(config.balance, members, { random, clock }, weightUnit);
      if (balancer.onRelease !== undefined) for (const member of members) observers.set(member, balancer);
      return balancer;
    });
    const guards = this.#policies.guards(pool, config, endpoints);
    const hasCircuits = guards !== undefined && [...guards.values()].some(({ breaker }) => breaker !== undefined);
    const plan = this.#policies.plan(pool, config, byTier, tiers, (members) =>
      buildBalancer(config.balance, members, { random, clock }, weightUnit),
    );
    return { endpoints, tiers, observers: observers.size === 0 ? undefined : observers, guards, hasCircuits, plan };
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
  { http, tcp, udp }: Snapshots,
  config: ListenerConfig | undefined,
): boolean {
  if (config === undefined) return false;
  if (config.protocol === "udp") return serveDatagrams(listener, udp.get(name));
  const httpSettings = http.get(name);
  const tcpSettings = tcp.get(name);
  if (listener instanceof HttpListener && httpSettings !== undefined) listener.serve(httpSettings, config);
  else if (listener instanceof TcpListener && tcpSettings !== undefined) listener.serve(tcpSettings, config);
  else return false;
  return true;
}

function buildTls(name: string, { connections: { tls, protocol } }: PoolConfig): EndpointTls | undefined {
  if (tls === undefined) return undefined;
  const protocols = protocol === "http2" ? ["h2"] : tls.alpn;
  return at(`pools.${name}.connections.tls`, () => new EndpointTls(tls, protocols));
}

function tlsOf(listener: RunningListener | undefined): ListenerTls | undefined {
  return listener === undefined || listener instanceof UdpListener ? undefined : listener.settings.tls;
}

function serveDatagrams(listener: RunningListener, settings: UdpSnapshot | undefined): boolean {
  if (!(listener instanceof UdpListener) || settings === undefined) return false;
  listener.serve(settings);
  return true;
}

function queueOptions({ queue }: PoolConfig): WaitQueueOptions {
  const { size, timeout, codel } = queue;
  return { size, timeoutMs: timeout, codel: codel === false ? undefined : codelOptions(codel) };
}

function isKeyed(config: PoolConfig): boolean {
  return algorithms[config.balance.algorithm].keyed;
}

function retire(view: PoolView): void {
  for (const endpoint of view.endpoints) endpoint.connections.retire();
}
