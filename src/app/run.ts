/** The life of an evenkeel process: start, reload, hand over, stop. Signals are listened to here and nowhere else. */
import { type FSWatcher, unlinkSync, watch, writeFileSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { type AdminServer, startAdmin } from "../admin/server.ts";
import { parseListenAddress } from "../base/address.ts";
import { systemClock, systemTimers, type Timer } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import { systemRandom } from "../base/random.ts";
import { diffConfigs } from "../config/diff.ts";
import type { Environment, LoadResult } from "../config/load.ts";
import { formatProblems } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { createLog, type Log } from "../observability/log.ts";
import { renderMetrics } from "../observability/prometheus.ts";
import { Supervisor, workerCount } from "./supervisor.ts";
import { handOver, inheritedSockets } from "./takeover.ts";
import { VERSION } from "./version.ts";

export interface RunOptions {
  /** Reads the configuration; called again for every reload. */
  readonly load: () => Promise<LoadResult>;
  /** Watched when the configuration says so. */
  readonly file: string | undefined;
  readonly pidFile: string | undefined;
  readonly environment: Environment;
  /** The command that starts this program, for workers and for taking over. */
  readonly command: readonly string[];
  /** Arguments with which this process was started. */
  readonly argv: readonly string[];
  /** Called once everything serves. */
  readonly onReady?: (running: Running) => void;
}

export interface Running {
  port(listener: string): number;
  readonly adminPort: number | undefined;
  reload(): Promise<boolean>;
}

/** sysexits.h: the configuration is wrong. A service manager need not try again. */
export const EXIT_BAD_CONFIG = 78;
const WATCH_DELAY_MS = 200;

/** Runs until it is told to stop; resolves to the exit code. */
export async function run(options: RunOptions): Promise<number> {
  const loaded = await options.load();
  if (!loaded.ok) {
    writeSync(2, `${formatProblems(loaded.problems, loaded.texts)}\n`);
    return EXIT_BAD_CONFIG;
  }
  const { config } = loaded;
  const log = createLog(config.log, systemClock, (line) => void writeSync(2, line));
  if (loaded.warnings.length > 0) writeSync(2, `${formatProblems(loaded.warnings, loaded.texts)}\n`);
  const evenkeel = new Evenkeel(options, config, log);
  try {
    await evenkeel.start(config);
  } catch (error) {
    await evenkeel.abandon();
    if (!(error instanceof EvenkeelError)) throw error;
    log.error("cannot start", { reason: error.message });
    return 1;
  }
  return evenkeel.finished;
}

class Evenkeel implements Running {
  readonly finished: Promise<number>;
  readonly #options: RunOptions;
  readonly #log: Log;
  readonly #supervisor: Supervisor;
  #finish: (code: number) => void = () => {};
  #admin: AdminServer | undefined;
  #watcher: FSWatcher | undefined;
  #watchTimer: Timer | undefined;
  #lastReloadGood = true;
  #stopping = false;
  #ready = false;
  #ownsPidFile = true;

  constructor(options: RunOptions, config: Config, log: Log) {
    this.#options = options;
    this.#log = log;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#supervisor = new Supervisor({
      workers: workerCount(config, availableParallelism()),
      workerCommand: [...options.command, "worker"],
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log,
      path: options.environment["PATH"] ?? "/usr/bin:/bin",
      inherited: inheritedSockets(options.environment),
    });
  }

  get adminPort(): number | undefined {
    return this.#admin?.port;
  }

  port(listener: string): number {
    return this.#supervisor.port(listener);
  }

  async start(config: Config): Promise<void> {
    this.#listenToSignals();
    await this.#supervisor.apply(config);
    this.#startAdmin(config);
    this.#watch(config);
    if (this.#options.pidFile !== undefined) writeFileSync(this.#options.pidFile, `${process.pid}\n`);
    this.#ready = true;
    const listening = Object.entries(config.listeners).map(([name, { address }]) => `${name}=${address}`);
    this.#log.info("serving", {
      version: VERSION,
      pid: process.pid,
      listeners: listening.join(" "),
      workers: this.#supervisor.links.length,
    });
    // For whoever has started this process to take its place.
    process.send?.({ type: "serving" });
    this.#options.onReady?.(this);
  }

  /** Ends what was begun by a start that failed. */
  async abandon(): Promise<void> {
    this.#admin?.stop();
    await this.#supervisor.close();
  }

  /** Loads the configuration anew. False when it was refused: then everything goes on as before. */
  async reload(): Promise<boolean> {
    const loaded = await this.#options.load();
    const before = this.#supervisor.config;
    try {
      if (!loaded.ok) throw new EvenkeelError(`\n${formatProblems(loaded.problems, loaded.texts)}`);
      await this.#supervisor.apply(loaded.config);
      this.#lastReloadGood = true;
      const changes = before === undefined ? [] : diffConfigs(before, loaded.config);
      this.#log.info("reloaded", { generation: this.#supervisor.generation, changes: changes.join("; ") || "none" });
      this.#watch(loaded.config);
    } catch (error) {
      this.#lastReloadGood = false;
      if (!(error instanceof EvenkeelError)) throw error;
      this.#log.error(`reload refused, the configuration stays as it was: ${error.message}`);
    }
    return this.#lastReloadGood;
  }

  #listenToSignals(): void {
    process.on("SIGHUP", () => void this.reload());
    process.on("SIGUSR1", () => {
      this.#log.info("reopening logs");
      this.#supervisor.reopenLogs();
    });
    process.on("SIGUSR2", () => void this.#handOver());
    process.on("SIGQUIT", () => void this.#stop("SIGQUIT", 0));
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => void this.#stop(signal, this.#stopping ? 0 : this.#drainMs));
    }
  }

  get #drainMs(): number {
    return this.#supervisor.config?.shutdown.drainTimeout ?? 0;
  }

  async #stop(why: string, drainMs: number, handedOver = false): Promise<void> {
    if (this.#stopping && drainMs > 0) return;
    const again = this.#stopping;
    this.#stopping = true;
    this.#ready = false;
    this.#log.info(again ? "stopping at once" : "stopping", {
      signal: why,
      connections: this.#supervisor.openConnections,
    });
    this.#watcher?.close();
    if (drainMs > 0) await this.#supervisor.stop(drainMs, handedOver);
    else await this.#supervisor.close();
    this.#admin?.stop();
    this.#removePidFile();
    this.#log.info("stopped");
    this.#finish(0);
  }

  /** Starts the program anew, as it is on disk now, gives it the listening sockets, and stops once it serves. */
  async #handOver(): Promise<void> {
    if (this.#stopping) return;
    this.#log.info("handing over to a new process");
    const problem = await handOver({
      command: [...this.#options.command, ...this.#options.argv],
      sockets: this.#supervisor.sockets,
      environment: this.#options.environment,
      timers: systemTimers,
    });
    if (problem !== "") {
      this.#log.error("handing over failed, this process goes on serving", { reason: problem });
      return;
    }
    this.#admin?.stop();
    this.#admin = undefined;
    // The file names the new process by now.
    this.#ownsPidFile = false;
    await this.#stop("SIGUSR2", Math.max(1, this.#drainMs), true);
  }

  #removePidFile(): void {
    const { pidFile } = this.#options;
    if (pidFile === undefined || !this.#ownsPidFile) return;
    try {
      unlinkSync(pidFile);
    } catch {
      // Somebody was quicker.
    }
  }

  #startAdmin(config: Config): void {
    if (config.admin === false) return;
    const address = parseListenAddress(config.admin.address) ?? { host: "127.0.0.1", port: 0 };
    try {
      this.#admin = startAdmin(address, { metrics: () => this.#metrics(), notReady: () => this.#notReady() });
    } catch (error) {
      throw new EvenkeelError(`admin: cannot listen on ${config.admin.address}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  #notReady(): string {
    if (this.#stopping) return "stopping";
    return this.#ready ? "" : "starting";
  }

  #metrics(): string {
    const { tables, rows, endpoints, certificates, config, generation, restarts, links } = this.#supervisor;
    const named = (names: readonly string[], of: { get(name: string): number | undefined }) =>
      Object.fromEntries(names.flatMap((name) => (of.get(name) === undefined ? [] : [[name, of.get(name) as number]])));
    const routes = config?.routes.map((route, index) => route.name ?? `route-${index + 1}`) ?? [];
    const listeners = Object.keys(config?.listeners ?? {});
    return renderMetrics({
      table: tables.metrics,
      listeners: named(listeners, rows.listener),
      routes: named([...routes, ...listeners.map((name) => `${name}-default`)], rows.route),
      pools: named(Object.keys(config?.pools ?? {}), rows.pool),
      endpoints: endpoints.list().map((endpoint) => ({
        ...endpoint,
        inFlight: tables.endpoints.inFlight(endpoint.row),
        eligible: tables.endpoints.isEligible(endpoint.row),
        weight: tables.endpoints.weight(endpoint.row),
      })),
      certificates: certificates.samples,
      version: VERSION,
      generation,
      lastReloadGood: this.#lastReloadGood,
      workers: links,
      restarts,
    });
  }

  /** Editors replace files rather than write into them, so the folder is watched, and given a moment to come to rest. */
  #watch(config: Config): void {
    const { file } = this.#options;
    if (!config.watch || file === undefined) {
      this.#watcher?.close();
      this.#watcher = undefined;
      return;
    }
    this.#watcher ??= watch(dirname(resolve(file)), (_event, name) => {
      if (name !== null && name !== basename(file)) return;
      this.#watchTimer?.stop();
      this.#watchTimer = systemTimers.after(WATCH_DELAY_MS, () => void this.reload());
    });
  }
}
