/** The data path of one worker: everything that serves, wired together. */
import { EvenkeelError } from "../base/errors.ts";
import { at } from "../base/place.ts";
import type { HttpContext } from "../http/context.ts";
import { HttpDate } from "../http/http-date.ts";
import { RequestIds } from "../http/request-id.ts";
import type { ListenerContext } from "../listeners/arrivals.ts";
import { AccessLog } from "../observability/access-log.ts";
import { type Challenge, ChallengeTable } from "../tls/acme/challenges.ts";
import { ByteWriter } from "../transport/byte-writer.ts";
import { DeadlineSweep } from "../transport/deadlines.ts";
import { Peeker } from "../transport/peek.ts";
import type { Endpoint, EndpointSpec } from "../upstreams/endpoint.ts";
import { buildSnapshots } from "./build-snapshot.ts";
import { buildTcpSnapshots } from "./build-tcp.ts";
import { buildUdpSnapshots } from "./build-udp.ts";
import type { DataPath, DataPathOptions, WorkerUpdate } from "./data-path.ts";
import { closeListener, ListenersInUse, type RunningListener, type Snapshots } from "./listeners-in-use.ts";
import { OverloadMonitor } from "./overload-monitor.ts";
import { PoolsInUse, type PreparedPools } from "./pools-in-use.ts";

const WRITER_BYTES = 524_288;
const LOG_FLUSH_INTERVAL_MS = 200;

export function createDataPath(options: DataPathOptions): DataPath {
  return new WorkerDataPath(options);
}

/** What was built for an update and is not served yet. */
interface Prepared {
  readonly update: WorkerUpdate;
  readonly pools: PreparedPools;
  readonly snapshots: Snapshots;
  readonly added: Map<string, RunningListener>;
  readonly accessLog: AccessLog | undefined;
}

class WorkerDataPath implements DataPath {
  readonly #options: DataPathOptions;
  readonly #context: HttpContext & ListenerContext;
  readonly #overload: OverloadMonitor;
  readonly #pools: PoolsInUse;
  readonly #listeners: ListenersInUse;
  readonly #logTimer: { stop(): void };
  #accessLogConfig = "";
  #prepared: Prepared | undefined;

  constructor(options: DataPathOptions) {
    this.#options = options;
    const { clock, timers, random, log, report } = options;
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
    const memoryBytes = (): number => process.memoryUsage.rss();
    this.#overload = new OverloadMonitor({ clock, timers, random, log, report, memoryBytes });
    this.#listeners = new ListenersInUse(options, this.#context);
    this.#pools = new PoolsInUse(options, this.#context, (endpoint) => this.#closeAll(endpoint));
    this.#logTimer = timers.every(LOG_FLUSH_INTERVAL_MS, () => this.#context.accessLog?.flush());
  }

  prepare(update: WorkerUpdate, descriptors: Readonly<Record<string, number>>): void {
    this.abort();
    const { random } = this.#options;
    const prepared = this.#pools.prepare(update);
    const { pools } = prepared;
    const previous = (listener: string) => this.#listeners.tlsOf(listener);
    const snapshots: Snapshots = {
      http: buildSnapshots(update, pools, random, previous, (listener, config) =>
        this.#overload.prepare(listener, config),
      ),
      tcp: buildTcpSnapshots(update, pools, random, previous),
      udp: buildUdpSnapshots(update, pools, random),
    };
    const added = new Map<string, RunningListener>();
    this.#prepared = { update, pools: prepared, snapshots, added, accessLog: this.#openAccessLog(update) };
    try {
      for (const [name, descriptor] of Object.entries(descriptors))
        added.set(name, this.#listeners.open(name, descriptor, update.config.listeners[name]!, snapshots));
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  commit(): void {
    const prepared = this.#prepared;
    if (prepared === undefined) return;
    this.#prepared = undefined;
    const { update, snapshots, added } = prepared;
    const { listeners, shutdown } = update.config;
    this.#overload.commit();
    this.#pools.commit(update, prepared.pools);
    this.#listeners.commit(added, snapshots, listeners, shutdown.drainTimeout);
    this.#switchAccessLog(update, prepared.accessLog);
  }

  abort(): void {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    this.#overload.abort();
    if (prepared === undefined) return;
    for (const listener of prepared.added.values()) closeListener(listener);
    void prepared.accessLog?.close();
  }

  replaceEndpoints(name: string, endpoints: readonly EndpointSpec[]): void {
    const pool = this.#pools.get(name);
    if (pool !== undefined) this.#pools.applyEndpoints(pool, endpoints);
  }

  setChallenges(challenges: readonly Challenge[]): void {
    this.#context.challenges.replace(challenges);
    this.#listeners.challengesChanged();
  }

  weightsChanged(name: string): void {
    const pool = this.#pools.get(name);
    if (pool !== undefined) this.#pools.weightsChanged(pool);
  }

  closeConnections(pool: string, id: string, which: "idle" | "all"): void {
    const endpoint = this.#pools.get(pool)?.view.endpoints.find((known) => known.id === id);
    if (endpoint === undefined) return;
    if (which === "idle") endpoint.connections.closeIdle();
    else this.#closeAll(endpoint);
  }

  drain(handedOver: boolean): void {
    this.#context.draining = true;
    this.#listeners.drain(handedOver);
  }

  openConnections(): number {
    return this.#listeners.openConnections;
  }

  async close(): Promise<void> {
    this.abort();
    this.#listeners.close();
    this.#pools.close();
    this.#context.sweep.close();
    this.#context.peeker.close();
    this.#logTimer.stop();
    this.#overload.close();
    await this.#context.accessLog?.close();
    this.#context.accessLog = undefined;
  }

  reopenLogs(): void {
    this.#reopen(this.#context.accessLog);
    // The file may have been put aside since it was opened.
    this.#reopen(this.#prepared?.accessLog);
  }

  /** Requests are served whatever becomes of their record. */
  #reopen(accessLog: AccessLog | undefined): void {
    try {
      accessLog?.reopen();
    } catch (error) {
      if (!(error instanceof EvenkeelError)) throw error;
      this.#options.log.error("the access log cannot be reopened; it goes on in the old file", {
        reason: error.message,
      });
    }
  }

  #closeAll(endpoint: Endpoint): void {
    endpoint.connections.closeAll();
    this.#listeners.endFlowsTo(endpoint);
  }

  /** A log that stays as it is stays open; a new one is opened before anything is changed, so that failing changes nothing. */
  #openAccessLog(update: WorkerUpdate): AccessLog | undefined {
    const { accessLog } = update.config;
    if (accessLog === false || JSON.stringify(accessLog) === this.#accessLogConfig) return undefined;
    return at(["accessLog"], () => new AccessLog(accessLog));
  }

  #switchAccessLog(update: WorkerUpdate, opened: AccessLog | undefined): void {
    const wanted = JSON.stringify(update.config.accessLog);
    if (wanted === this.#accessLogConfig) return;
    this.#accessLogConfig = wanted;
    void this.#context.accessLog?.close();
    this.#context.accessLog = opened;
  }
}
