/** The workers: started, told what to serve all together, watched, and put in place of those that die. */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { EventReport } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import { createDataPath } from "./create-data-path.ts";
import type { WorkerUpdate } from "./data-path.ts";
import type { SharedFiles, SharedTables } from "./memory.ts";
import { type Descriptors, localLink, ProcessLink, WorkerEnded, type WorkerLink } from "./worker-link.ts";

const PING_INTERVAL_MS = 2_000;
/** A worker that has not answered for this long hangs. */
const HANG_MS = 10_000;
const MIN_RESTART_MS = 100;
const MAX_RESTART_MS = 5_000;
/** A worker that lived this long did not die of its start. */
const SETTLED_MS = 10_000;

export interface WorkerFleetOptions {
  /** Processes; 0 has the one data path in this process. */
  readonly workers: number;
  /** How to start a worker process: its command line without the last two arguments. */
  readonly workerCommand: readonly string[];
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly tables: SharedTables;
  /** Undefined when everything runs in this process. */
  readonly files: SharedFiles | undefined;
  readonly report: (event: EventReport) => void;
  /** See DataPathOptions. */
  readonly onSuspect: (pool: string, row: number) => void;
  /** A worker has died, and it is time to put another in its place: call `replace`, when nothing else is being prepared. */
  readonly onPlace: (worker: number) => void;
}

export class WorkerFleet {
  /** Workers that were put in place of others. */
  restarts = 0;
  readonly #options: WorkerFleetOptions;
  readonly #links: (WorkerLink | undefined)[];
  readonly #restartMs: number[];
  #pinger: Timer | undefined;

  constructor(options: WorkerFleetOptions) {
    this.#options = options;
    this.#links = new Array<WorkerLink | undefined>(Math.max(1, options.workers)).fill(undefined);
    this.#restartMs = this.#links.map(() => 0);
  }

  /** Those that are there. */
  get links(): readonly WorkerLink[] {
    return this.#links.filter((link) => link !== undefined);
  }

  /** Starts all of them. From `watch` on, those that die are replaced. */
  start(): void {
    for (let worker = 0; worker < this.#links.length; worker++) this.#links[worker] = this.#startWorker(worker);
  }

  /** They serve: those that hang are ended from now on. */
  watch(): void {
    this.#pinger ??= this.#options.timers.every(PING_INTERVAL_MS, () => this.#ping());
  }

  /** Rejects with an EvenkeelError when one of them cannot serve `update`. */
  async prepare(update: WorkerUpdate, descriptors: (worker: number) => Descriptors): Promise<void> {
    const prepared = this.#links.flatMap((link, worker) =>
      link === undefined ? [] : [link.prepare(update, descriptors(worker))],
    );
    const results = await Promise.allSettled(prepared);
    const problems = results.flatMap((result) => (result.status === "rejected" ? [result.reason as Error] : []));
    const refusal = problems.find((problem) => !(problem instanceof WorkerEnded));
    if (refusal !== undefined) throw refusal;
    // Whoever takes a dead worker's place gets the new configuration, unless that is what all have died of. Before there
    // is one, nobody takes a place.
    const isFirst = this.#pinger === undefined;
    if (problems.length > 0 && (isFirst || problems.length === results.length)) throw problems[0];
  }

  /** Puts a worker in place of one that has died. `ready` is called when it is prepared, before it serves. */
  async replace(
    worker: number,
    update: WorkerUpdate,
    descriptors: Descriptors,
    ready: (link: WorkerLink) => Promise<void>,
  ): Promise<WorkerLink | undefined> {
    if (this.#links[worker] !== undefined || this.#pinger === undefined) return undefined;
    const link = this.#startWorker(worker);
    this.#links[worker] = link;
    try {
      await link.prepare(update, descriptors);
      await ready(link);
      link.commit();
      this.#options.report({ type: "worker.started", reason: `worker ${worker}, process ${link.pid}` });
      return link;
    } catch (error) {
      this.#options.log.error("a worker cannot serve", { worker, reason: (error as Error).message });
      link.kill();
      return undefined;
    }
  }

  /** Ends all; nobody takes their places. */
  async close(): Promise<void> {
    this.#pinger?.stop();
    this.#pinger = undefined;
    const links = this.links;
    this.#links.fill(undefined);
    await Promise.all(links.map((link) => link.close()));
  }

  #startWorker(worker: number): WorkerLink {
    const { workers, clock, timers, random, log, workerCommand, tables, files, report, onSuspect } = this.#options;
    const now = (): number => clock.now();
    if (files === undefined) {
      const { endpoints: endpointTable, metrics, resilience, sessions } = tables;
      const shared = { endpointTable, metrics, resilience, sessions, counters: tables.counters(0) };
      return localLink(createDataPath({ worker, ...shared, clock, timers, random, log, report, onSuspect }), now);
    }
    const startedMs = now();
    return new ProcessLink({
      command: workerCommand,
      worker,
      workers,
      files,
      now,
      onEvent: report,
      onSuspect,
      onExit: (link, how) => this.#ended(link, how, startedMs),
    });
  }

  /** Takes back what the dead worker held, and sees to it that another takes its place. */
  #ended(link: ProcessLink, how: string, startedMs: number): void {
    const { worker } = link;
    if (this.#links[worker] !== link) return;
    this.#links[worker] = undefined;
    const { tables, clock, timers, log, report, onPlace } = this.#options;
    tables.endpoints.releaseWorker(worker);
    tables.metrics.resetGauges(worker);
    tables.counters(worker).releaseWorker(worker);
    tables.resilience.releaseWorker(worker);
    if (this.#pinger === undefined) return;
    this.restarts++;
    const lived = clock.now() - startedMs;
    const delayMs = lived > SETTLED_MS ? 0 : (this.#restartMs[worker] as number);
    this.#restartMs[worker] =
      lived > SETTLED_MS ? MIN_RESTART_MS : Math.min(MAX_RESTART_MS, Math.max(MIN_RESTART_MS, delayMs * 2));
    log.error("a worker ended and is replaced", { worker, pid: link.pid, how });
    report({ type: "worker.ended", reason: `worker ${worker}, process ${link.pid}: ${how}` });
    timers.after(delayMs, () => onPlace(worker));
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
}
