import { EvenkeelError } from "../base/errors.ts";
import { at } from "../base/place.ts";
import type { Config } from "../config/schema.ts";
import { EventLog } from "../observability/event-log.ts";
import { KINDS, LISTENER } from "../observability/metrics-table.ts";
import { createDnsResolver } from "../upstreams/dns-resolver.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import { MAX_ENDPOINTS, MAX_WORKERS } from "../upstreams/endpoint-table.ts";
import { buildUpdate } from "./build-update.ts";
import { CertificateStore } from "./certificate-store.ts";
import { ChallengeBoard } from "./challenge-board.ts";
import type { WorkerUpdate } from "./data-path.ts";
import { EndpointRegistry } from "./endpoint-registry.ts";
import type { Inheritance } from "./inheritance.ts";
import { createSharedMemory, mapSharedMemory, privateMemory, type SharedFiles, type SharedTables } from "./memory.ts";
import { PoolWatches } from "./pool-watches.ts";
import { Rows } from "./rows.ts";
import { ListeningSockets } from "./sockets.ts";
import { WorkerFleet, type WorkerFleetOptions } from "./worker-fleet.ts";
import type { WorkerLink } from "./worker-link.ts";

const NAMES_TIMEOUT_MS = 2_000;
const FIRST_CHECKS_TIMEOUT_MS = 1_000;
const DRAIN_LOOK_MS = 50;

export interface SupervisorOptions
  extends Pick<WorkerFleetOptions, "workers" | "workerCommand" | "clock" | "timers" | "random" | "log"> {
  /** PATH for health check commands. */
  readonly path: string;
  readonly inherited?: Inheritance | undefined;
}

export class Supervisor {
  readonly tables: SharedTables;
  readonly events: EventLog;
  readonly endpoints: EndpointRegistry;
  readonly rows: { readonly listener: Rows; readonly route: Rows; readonly pool: Rows };
  generation = 0;
  draining = false;
  config: Config | undefined;
  readonly #options: SupervisorOptions;
  readonly certificates: CertificateStore;
  readonly #challenges = new ChallengeBoard(() => this.links);
  readonly #files: SharedFiles | undefined;
  readonly #sockets: ListeningSockets;
  readonly watches: PoolWatches;
  readonly #fleet: WorkerFleet;
  /** Another process takes whoever comes now. */
  #handedOver = false;
  #update: WorkerUpdate | undefined;
  #applying: Promise<unknown> = Promise.resolve();

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { workers, clock, timers, random, log, path, inherited } = options;
    this.#files = workers === 0 ? undefined : createSharedMemory(workers, inherited?.sessions);
    this.tables = this.#files === undefined ? privateMemory() : mapSharedMemory(this.#files, workers);
    this.#sockets = new ListeningSockets(workers, inherited?.sockets);
    this.events = new EventLog(clock);
    this.#fleet = new WorkerFleet({
      ...options,
      tables: this.tables,
      files: this.#files,
      report: ({ type, ...details }) => this.events.publish(type, details),
      onSuspect: (pool, row) => this.watches.outliers.look(pool, row),
      onPlace: (worker) => this.#replaceWorker(worker),
    });
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
      inherited: inherited?.changes,
      onChange: (pool, specs) => this.#replaceEndpoints(pool, specs),
      onWeights: (pool) => {
        for (const link of this.links) link.weightsChanged(pool);
      },
      onLeaving: (pool, id, which) => {
        for (const link of this.links) link.closeConnections(pool, id, which);
      },
    });
    this.watches = new PoolWatches({
      clock,
      timers,
      random,
      log,
      events: this.events,
      tables: this.tables,
      lastPassedMs: (pool, id) => this.endpoints.lastPassedMs(pool, id),
      onEjection: ({ pool, endpoint, ejected, reason }) =>
        this.endpoints.ejectionChanged(pool, endpoint, ejected, reason),
      rowOf: (pool) => this.rows.pool.get(pool),
      isDraining: () => this.draining,
    });
  }

  /** Serves `config`. Rejects with an EvenkeelError when it cannot; then what was served before goes on. One at a time. */
  apply(config: Config): Promise<void> {
    const next = this.#applying.then(() => this.#apply(config));
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
    return this.#fleet.links;
  }

  /** Workers that were put in place of others. */
  get restarts(): number {
    return this.#fleet.restarts;
  }

  get openConnections(): number {
    let open = 0;
    for (let row = 0; row < KINDS.listener.rows; row++)
      open += this.tables.metrics.read("listener", row, LISTENER.open);
    return open;
  }

  /** `web=3 db=1`, without those that a reload has taken away. */
  #openByListener(): string {
    const counts = Object.keys(this.config?.listeners ?? {}).map((name) => {
      const row = this.rows.listener.get(name);
      return { name, open: row === undefined ? 0 : this.tables.metrics.read("listener", row, LISTENER.open) };
    });
    return counts.flatMap(({ name, open }) => (open > 0 ? [`${name}=${open}`] : [])).join(" ");
  }

  /** For the process that takes this one's place. */
  get inheritance(): Inheritance {
    return { sockets: this.#sockets.all(), changes: this.endpoints.changes(), sessions: this.#files?.sessions };
  }

  reopenLogs(): void {
    for (const link of this.links) link.reopenLogs();
  }

  /** Finishes what is under way, at most for `drainMs`, then ends all workers. `handedOver`: see DataPath.drain. */
  async stop(drainMs: number, handedOver: boolean): Promise<void> {
    this.draining = true;
    this.#handedOver = handedOver;
    this.certificates.stopOrdering();
    const until = this.#options.clock.now() + drainMs;
    await Promise.race([Promise.all(this.links.map((link) => link.drain(handedOver))), this.#pause(drainMs)]);
    // On a socket that the other process did not want, clients would wait for nobody.
    if (handedOver) this.#sockets.close();
    while (this.openConnections > 0 && this.#options.clock.now() < until) await this.#pause(DRAIN_LOOK_MS);
    const left = this.openConnections;
    const listeners = this.#openByListener();
    if (left > 0) this.#options.log.warn("drain timeout: closing what is still open", { connections: left, listeners });
    await this.close();
  }

  async close(): Promise<void> {
    this.draining = true;
    this.endpoints.close();
    this.watches.close();
    this.certificates.close();
    await this.#fleet.close();
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
      if (before === undefined) this.#fleet.start();
      await this.#fleet.prepare(update, (worker) => sockets.added(worker));
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
    this.#sendNewerEndpoints(update);
    this.certificates.commit(config);
    this.watches.apply(config, update.endpoints);
    this.#keepRows(update);
    this.#fleet.watch();
  }

  #buildUpdate(config: Config): WorkerUpdate {
    const specs = (pool: string): EndpointSpec[] => at(["pools"], () => this.endpoints.specs(pool));
    return buildUpdate(config, {
      generation: ++this.generation,
      certificates: this.certificates.load(config),
      endpoints: Object.fromEntries(Object.keys(config.pools).map((pool) => [pool, specs(pool)])),
      rows: this.rows,
    });
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
    this.watches.setPool(pool, update.config.pools[pool], specs);
  }

  /** Names may have resolved to something else while workers prepared `update`. */
  #sendNewerEndpoints({ endpoints }: WorkerUpdate): void {
    for (const [pool, prepared] of Object.entries(endpoints)) {
      const specs = this.endpoints.specs(pool);
      if (JSON.stringify(specs) !== JSON.stringify(prepared)) this.#replaceEndpoints(pool, specs);
    }
  }

  /** Never while a configuration is being applied, nor the other way round: a worker prepares one thing at a time. */
  #replaceWorker(worker: number): void {
    this.#applying = this.#applying.then(() => this.#putInPlace(worker));
  }

  async #putInPlace(worker: number): Promise<void> {
    const update = this.#update;
    // There would be nothing to do for it.
    if (update === undefined || this.#handedOver) return;
    const ready = async (link: WorkerLink): Promise<void> => {
      await link.setChallenges(this.#challenges.open);
      if (this.draining) await link.drain(this.#handedOver);
    };
    const link = await this.#fleet.replace(worker, update, this.#sockets.of(worker), ready);
    if (link !== undefined) this.#sendNewerEndpoints(update);
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
  const count = config.workers === "auto" ? Math.min(MAX_WORKERS, processors) : config.workers;
  if (!Number.isInteger(count)) throw new EvenkeelError(`workers: ${count}`);
  return count;
}
