/**
 * Decides what the workers serve and sees that they do: finds and checks endpoints, hands out sockets and rows, applies
 * configurations in all workers or in none, and replaces workers that die.
 */
import { isDeepStrictEqual } from "node:util";
import type { Clock, Timers } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Config } from "../config/schema.ts";
import { EventLog, type EventReport } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import { KINDS, LISTENER } from "../observability/metrics-table.ts";
import { createDnsResolver } from "../upstreams/dns-resolver.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import { MAX_ENDPOINTS } from "../upstreams/endpoint-table.ts";
import { defaultRouteName } from "./build-action.ts";
import { CertificateStore } from "./certificate-store.ts";
import { ChallengeBoard } from "./challenge-board.ts";
import { createDataPath } from "./create-data-path.ts";
import type { WorkerUpdate } from "./data-path.ts";
import { EndpointRegistry } from "./endpoint-registry.ts";
import { createSharedMemory, privateMemory, type SharedTables } from "./memory.ts";
import { OutlierWatch } from "./outlier-watch.ts";
import { PanicWatch } from "./panic-watch.ts";
import { Rows } from "./rows.ts";
import { type InheritedSockets, ListeningSockets } from "./sockets.ts";
import { localLink, ProcessLink, type WorkerLink } from "./worker-link.ts";

const NAMES_TIMEOUT_MS = 2_000;
const FIRST_CHECKS_TIMEOUT_MS = 1_000;
const PING_INTERVAL_MS = 2_000;
/** A worker that has not answered for this long hangs. */
const HANG_MS = 10_000;
const MIN_RESTART_MS = 100;
const MAX_RESTART_MS = 5_000;
/** A worker that lived this long did not die of its start. */
const SETTLED_MS = 10_000;
const DRAIN_LOOK_MS = 50;

export interface SupervisorOptions {
  readonly workers: number;
  /** How to start a worker process: its command line without the last two arguments. */
  readonly workerCommand: readonly string[];
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** PATH for health check commands. */
  readonly path: string;
  readonly inherited?: InheritedSockets;
}

export class Supervisor {
  readonly tables: SharedTables;
  readonly events: EventLog;
  readonly endpoints: EndpointRegistry;
  readonly rows: { readonly listener: Rows; readonly route: Rows; readonly pool: Rows };
  generation = 0;
  restarts = 0;
  draining = false;
  config: Config | undefined;
  readonly #options: SupervisorOptions;
  readonly certificates: CertificateStore;
  readonly #challenges = new ChallengeBoard(() => this.links);
  readonly #sockets: ListeningSockets;
  readonly #memoryDescriptor: number;
  readonly outliers: OutlierWatch;
  readonly panics: PanicWatch;
  readonly #links: (WorkerLink | undefined)[];
  readonly #restartMs: number[];
  #update: WorkerUpdate | undefined;
  #applying: Promise<unknown> = Promise.resolve();
  readonly #replacing = new Set<Promise<void>>();
  #pinger: { stop(): void } | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { workers, clock, timers, random, log, path } = options;
    const memory = workers === 0 ? { descriptor: -1, tables: privateMemory() } : createSharedMemory(workers);
    this.tables = memory.tables;
    this.#memoryDescriptor = memory.descriptor;
    this.#sockets = new ListeningSockets(workers, options.inherited);
    this.#links = new Array<WorkerLink | undefined>(Math.max(1, workers)).fill(undefined);
    this.#restartMs = this.#links.map(() => 0);
    this.rows = { listener: this.#rowsOf("listener"), route: this.#rowsOf("route"), pool: this.#rowsOf("pool") };
    const responder = this.#challenges;
    this.certificates = new CertificateStore({
      clock,
      timers,
      random,
      log,
      responder,
      onChange: () => this.#reapply(),
    });
    this.events = new EventLog(clock);
    this.endpoints = new EndpointRegistry({
      clock,
      timers,
      random,
      log,
      events: this.events,
      path,
      resolver: createDnsResolver(),
      tables: this.tables,
      capacity: MAX_ENDPOINTS,
      onChange: (pool, specs) => this.#replaceEndpoints(pool, specs),
      onWeights: (pool) => {
        for (const link of this.links) link.weightsChanged(pool);
      },
      onLeaving: (pool, id, which) => {
        for (const link of this.links) link.closeConnections(pool, id, which);
      },
    });
    const lastPassedMs = (pool: string, id: string) => this.endpoints.lastPassedMs(pool, id);
    this.outliers = new OutlierWatch({
      clock,
      timers,
      random,
      log,
      tables: this.tables,
      lastPassedMs,
      onChange: ({ pool, endpoint, ejected, reason }) =>
        this.endpoints.ejectionChanged(pool, endpoint, ejected, reason),
    });
    this.panics = new PanicWatch({
      timers,
      log,
      table: this.tables.endpoints,
      onChange: (pool, panics, reason) =>
        this.events.publish(panics ? "pool.panics" : "pool.recovered", { pool, reason }),
    });
  }

  /** Serves `config`. Rejects with an EvenkeelError when it cannot; then what was served before goes on. One at a time. */
  apply(config: Config): Promise<void> {
    const next = this.#applying.then(async () => {
      // A new worker must be through with one configuration before it is told of the next.
      await Promise.all(this.#replacing);
      await this.#apply(config);
    });
    this.#applying = next.catch(() => {});
    return next;
  }

  /** A certificate was replaced: the configuration stays, what it stands for has changed. */
  #reapply(): void {
    const { config } = this;
    if (config === undefined || this.draining) return;
    this.apply(config).catch((error: Error) =>
      this.#options.log.error("a new certificate could not be used", { reason: error.message }),
    );
  }

  /** The port of a listener that asked for any. */
  port(listener: string): number {
    return this.#sockets.port(listener);
  }

  get links(): readonly WorkerLink[] {
    return this.#links.filter((link) => link !== undefined);
  }

  get openConnections(): number {
    let open = 0;
    for (let row = 0; row < KINDS.listener.rows; row++)
      open += this.tables.metrics.read("listener", row, LISTENER.open);
    return open;
  }

  /** All listening sockets, to hand over to another evenkeel. */
  get sockets(): InheritedSockets {
    return this.#sockets.all();
  }

  reopenLogs(): void {
    for (const link of this.links) link.reopenLogs();
  }

  /** Finishes what is under way, at most for `drainMs`, then ends all workers. `handedOver`: see DataPath.drain. */
  async stop(drainMs: number, handedOver: boolean): Promise<void> {
    this.draining = true;
    this.certificates.stopOrdering();
    const until = this.#options.clock.now() + drainMs;
    await Promise.race([Promise.all(this.links.map((link) => link.drain(handedOver))), this.#pause(drainMs)]);
    // On a socket that the other process did not want, clients would wait for nobody.
    if (handedOver) this.#sockets.close();
    while (this.openConnections > 0 && this.#options.clock.now() < until) await this.#pause(DRAIN_LOOK_MS);
    const left = this.openConnections;
    if (left > 0) this.#options.log.warn("drain timeout: closing what is still open", { connections: left });
    await this.close();
  }

  async close(): Promise<void> {
    this.draining = true;
    this.#pinger?.stop();
    this.endpoints.close();
    this.outliers.close();
    this.panics.close();
    this.certificates.close();
    const links = this.links;
    this.#links.fill(undefined);
    await Promise.all(links.map((link) => link.close()));
    this.#sockets.close();
  }

  async #apply(config: Config): Promise<void> {
    const before = this.config;
    const sockets = this.#sockets.prepare(config);
    let update: WorkerUpdate;
    try {
      this.endpoints.watch(config);
      if (before === undefined) await this.endpoints.settle(NAMES_TIMEOUT_MS, FIRST_CHECKS_TIMEOUT_MS);
      update = this.#buildUpdate(config);
      if (before === undefined) this.#startWorkers();
      await this.#prepareAll(update, (worker) => sockets.added(worker), before !== undefined);
    } catch (error) {
      for (const link of this.links) link.abort();
      sockets.abort();
      if (before !== undefined) this.endpoints.goBack(before);
      throw error;
    }
    for (const link of this.links) link.commit();
    for (const listener of sockets.commit())
      this.#options.log.warn("clients cannot be led to the same worker again", { listener });
    this.#update = update;
    this.config = config;
    this.certificates.commit(config);
    for (const watch of [this.outliers, this.panics]) {
      for (const [name, pool] of Object.entries(config.pools)) watch.setPool(name, pool, update.endpoints[name] ?? []);
      watch.keepOnly(Object.keys(config.pools));
    }
    this.#keepRows(update);
    this.#catchUp(config);
    this.#pinger ??= this.#options.timers.every(PING_INTERVAL_MS, () => this.#ping());
  }

  #startWorkers(): void {
    for (let worker = 0; worker < this.#links.length; worker++) this.#links[worker] = this.#startWorker(worker);
  }

  #startWorker(worker: number): WorkerLink {
    const { workers, clock, timers, random, log, workerCommand } = this.#options;
    const now = (): number => clock.now();
    const report = ({ type, ...details }: EventReport): void => this.events.publish(type, details);
    if (workers === 0) {
      const { endpoints: endpointTable, metrics, resilience, sessions } = this.tables;
      const counters = this.tables.counters(0);
      const tables = { endpointTable, metrics, resilience, counters, sessions };
      return localLink(createDataPath({ worker, ...tables, clock, timers, random, log, report }), now);
    }
    const startedMs = now();
    return new ProcessLink({
      command: workerCommand,
      worker,
      workers,
      memoryDescriptor: this.#memoryDescriptor,
      now,
      onEvent: report,
      onExit: (link, how) => this.#workerEnded(link, how, startedMs),
    });
  }

  /** `isReplaced`: a worker that ends meanwhile says nothing about the configuration, and the next in its place gets it. */
  async #prepareAll(
    update: WorkerUpdate,
    descriptors: (worker: number) => Record<string, number>,
    isReplaced: boolean,
  ): Promise<void> {
    const links = this.links;
    const prepared = this.#links.flatMap((link, worker) =>
      link === undefined ? [] : [link.prepare(update, descriptors(worker))],
    );
    const results = await Promise.allSettled(prepared);
    const stay = this.links;
    const isMerelyGone = (index: number): boolean =>
      isReplaced && stay.length > 0 && !stay.includes(links[index] as WorkerLink);
    const failed = results.find((result, index) => result.status === "rejected" && !isMerelyGone(index));
    if (failed?.status === "rejected") throw failed.reason;
  }

  #buildUpdate(config: Config): WorkerUpdate {
    const take = (rows: Rows, names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, rows.take(name)]));
    const routes = config.routes.map((route, index) => route.name ?? `route-${index + 1}`);
    const defaults = Object.entries(config.listeners).flatMap(([name, { pool }]) =>
      pool === undefined ? [] : [defaultRouteName(name)],
    );
    return {
      generation: ++this.generation,
      config,
      certificates: this.certificates.load(config),
      endpoints: Object.fromEntries(Object.keys(config.pools).map((pool) => [pool, this.endpoints.specs(pool)])),
      rows: {
        listeners: take(this.rows.listener, Object.keys(config.listeners)),
        routes: take(this.rows.route, [...routes, ...defaults]),
        pools: take(this.rows.pool, Object.keys(config.pools)),
      },
    };
  }

  #keepRows({ rows, config }: WorkerUpdate): void {
    this.rows.listener.keepOnly(new Set(Object.keys(rows.listeners)));
    this.rows.route.keepOnly(new Set(Object.keys(rows.routes)));
    this.rows.pool.keepOnly(new Set(Object.keys(rows.pools)));
    this.endpoints.keepOnly(config);
  }

  #replaceEndpoints(pool: string, specs: readonly EndpointSpec[]): void {
    const update = this.#update;
    if (update === undefined || update.config.pools[pool] === undefined) return;
    this.#update = { ...update, endpoints: { ...update.endpoints, [pool]: specs } };
    for (const link of this.links) link.replaceEndpoints(pool, specs);
    for (const watch of [this.outliers, this.panics]) watch.setPool(pool, update.config.pools[pool], specs);
  }

  /** Endpoints that have changed while workers were given a configuration with the old ones. */
  #catchUp({ pools }: Config): void {
    for (const pool of Object.keys(pools)) {
      const specs = this.endpoints.specs(pool);
      if (!isDeepStrictEqual(specs, this.#update?.endpoints[pool])) this.#replaceEndpoints(pool, specs);
    }
  }

  /** Takes back what the dead worker held and puts another in its place. */
  #workerEnded(link: ProcessLink, how: string, startedMs: number): void {
    const { worker } = link;
    if (this.#links[worker] !== link) return;
    this.#links[worker] = undefined;
    this.tables.endpoints.releaseWorker(worker);
    this.tables.metrics.resetGauges(worker);
    this.tables.counters(worker).releaseWorker(worker);
    this.tables.resilience.releaseWorker(worker);
    if (this.#update === undefined) return;
    this.restarts++;
    const lived = this.#options.clock.now() - startedMs;
    const delayMs = lived > SETTLED_MS ? 0 : (this.#restartMs[worker] as number);
    this.#restartMs[worker] =
      lived > SETTLED_MS ? MIN_RESTART_MS : Math.min(MAX_RESTART_MS, Math.max(MIN_RESTART_MS, delayMs * 2));
    this.#options.log.error("a worker ended and is replaced", { worker, pid: link.pid, how });
    this.events.publish("worker.ended", { reason: `worker ${worker}, process ${link.pid}: ${how}` });
    this.#options.timers.after(delayMs, () => void this.#replaceWhenApplied(worker));
  }

  /** Never while a configuration is being applied: the new worker must get the one that holds then. */
  async #replaceWhenApplied(worker: number): Promise<void> {
    let applied: Promise<unknown>;
    do {
      applied = this.#applying;
      await applied;
    } while (applied !== this.#applying);
    const replacing = this.#replaceWorker(worker);
    this.#replacing.add(replacing);
    await replacing;
    this.#replacing.delete(replacing);
  }

  async #replaceWorker(worker: number): Promise<void> {
    const update = this.#update;
    if (update === undefined || this.#links[worker] !== undefined || (this.draining && this.#pinger === undefined))
      return;
    const link = this.#startWorker(worker);
    this.#links[worker] = link;
    try {
      await link.prepare(update, this.#sockets.of(worker));
      await link.setChallenges(this.#challenges.open);
      link.commit();
      for (const [pool, specs] of Object.entries(this.#update?.endpoints ?? {}))
        if (specs !== update.endpoints[pool]) link.replaceEndpoints(pool, specs);
      this.events.publish("worker.started", { reason: `worker ${worker}, process ${link.pid}` });
      if (this.draining) await link.drain(false);
    } catch (error) {
      this.#options.log.error("a worker cannot serve", { worker, reason: (error as Error).message });
      link.kill();
    }
  }

  #ping(): void {
    const now = this.#options.clock.now();
    for (const link of this.links) {
      if (now - link.lastSignMs > HANG_MS) {
        this.#options.log.error("a worker hangs and is ended", { pid: link.pid });
        link.kill();
      } else link.ping();
    }
  }

  #rowsOf(kind: "listener" | "route" | "pool"): Rows {
    const { metrics, resilience } = this.tables;
    return new Rows({
      what: `${kind}s`,
      capacity: KINDS[kind].rows,
      now: () => this.#options.clock.now(),
      isBusy: (row) => kind === "listener" && metrics.read("listener", row, LISTENER.open) > 0,
      clear: (row) => {
        metrics.clearRow(kind, row);
        if (kind === "pool") resilience.clearPool(row);
      },
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.timers.after(ms, resolve));
  }
}

/** The number of worker processes that a configuration asks for. */
export function workerCount(config: Config, processors: number): number {
  const count = config.workers === "auto" ? Math.min(64, processors) : config.workers;
  if (!Number.isInteger(count)) throw new EvenkeelError(`workers: ${count}`);
  return count;
}
