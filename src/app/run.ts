/** The life of an evenkeel process: start, reload, hand over, stop. Signals are listened to here and nowhere else. */
import { availableParallelism } from "node:os";
import { systemClock, systemTimers } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import { systemRandom } from "../base/random.ts";
import { diffConfigs } from "../config/diff.ts";
import type { Environment, LoadResult } from "../config/load.ts";
import { formatProblems } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { type ConfigurableLog, createLog } from "../observability/log.ts";
import { writeToStandardError } from "../observability/standard-error.ts";
import { reportFaults } from "../transport/faults.ts";
import { AdminBackend } from "./admin-backend.ts";
import { AdminControl } from "./admin-control.ts";
import { ConfigWatch } from "./config-watch.ts";
import { metricsText, poolsWithoutEndpoint } from "./exposition.ts";
import { FaultGuard } from "./fault-guard.ts";
import { PidFile } from "./pid-file.ts";
import { ServiceManager } from "./service-manager.ts";
import { Supervisor, workerCount } from "./supervisor.ts";
import { type HandingOver, handOver, inheritanceOf, predecessor } from "./takeover.ts";
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

type GoodLoad = Extract<LoadResult, { readonly ok: true }>;

/** sysexits.h: the configuration is wrong. A service manager need not try again. */
export const EXIT_BAD_CONFIG = 78;

/** Runs until it is told to stop; resolves to the exit code. */
export async function run(options: RunOptions): Promise<number> {
  const loaded = await options.load();
  if (!loaded.ok) {
    writeToStandardError(`${formatProblems(loaded.problems, loaded.texts)}\n`);
    return EXIT_BAD_CONFIG;
  }
  const { config } = loaded;
  const log = createLog(config.log, systemClock, writeToStandardError);
  if (loaded.warnings.length > 0) writeToStandardError(`${formatProblems(loaded.warnings, loaded.texts)}\n`);
  const evenkeel = new Evenkeel(options, loaded, log);
  try {
    await evenkeel.start(config);
  } catch (error) {
    await evenkeel.abandon();
    if (!(error instanceof EvenkeelError)) throw error;
    log.error("cannot start", { reason: error.message });
    return 1;
  }
  const guard = new FaultGuard({ clock: systemClock, log, exit: (code) => process.exit(code) });
  reportFaults((error) => guard.ofConnection(error));
  guard.install();
  return evenkeel.finished;
}

class Evenkeel implements Running {
  readonly finished: Promise<number>;
  readonly #options: RunOptions;
  readonly #log: ConfigurableLog;
  readonly #supervisor: Supervisor;
  readonly #workers: number;
  readonly #pidFile: PidFile;
  readonly #serviceManager: ServiceManager;
  readonly #admin: AdminControl;
  readonly #watch: ConfigWatch;
  #finish: (code: number) => void = () => {};
  /** Reloads go one after the other. */
  #reloading: Promise<unknown> = Promise.resolve();
  #lastReloadGood = true;
  /** Texts of the configuration that came from elsewhere. */
  #outside: ReadonlyMap<string, string>;
  #stopping = false;
  #ready = false;
  /** While a new process starts that is to take over. */
  #handingOver: HandingOver | undefined;
  /** A reload was asked for meanwhile: the new process may have read the file before. */
  #outdated = false;
  /** While a stop waits for a balancer in front: goes on at once. */
  #endDelay: (() => void) | undefined;

  constructor(options: RunOptions, { config, outside }: GoodLoad, log: ConfigurableLog) {
    this.#outside = outside;
    this.#options = options;
    this.#log = log;
    this.#pidFile = new PidFile(options.pidFile);
    this.#serviceManager = new ServiceManager(options.environment);
    this.#workers = workerCount(config, availableParallelism());
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#watch = new ConfigWatch(options.file, systemTimers, () => void this.reload());
    const inherited = inheritanceOf(options.environment);
    if (inherited !== undefined && inherited.changes === undefined)
      log.warn("what was changed while the process before this one ran cannot be read, and is lost");
    this.#supervisor = new Supervisor({
      workers: this.#workers,
      workerCommand: [...options.command, "worker"],
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log,
      path: options.environment["PATH"] ?? "/usr/bin:/bin",
      inherited,
    });
    this.#admin = new AdminControl({
      metrics: () => metricsText(this.#supervisor, this.#lastReloadGood),
      notReady: () => this.#notReady(),
      poolsWithoutEndpoint: () => poolsWithoutEndpoint(this.#supervisor),
      api: new AdminBackend(this.#supervisor, systemClock, systemTimers, {
        outside: () => this.#outside,
        // The new process would not know of it.
        whyNoChanges: () => (this.#handingOver === undefined ? "" : "a new process takes over: ask again in a moment"),
      }),
    });
  }

  get adminPort(): number | undefined {
    return this.#admin.port;
  }

  port(listener: string): number {
    return this.#supervisor.port(listener);
  }

  async start(config: Config): Promise<void> {
    const replaced = predecessor(this.#options.environment);
    this.#listenToSignals();
    this.#pidFile.check(replaced);
    await this.#supervisor.apply(config);
    this.#admin.prepare(config.admin, replaced !== undefined).commit();
    this.#watch.set(config.watch);
    this.#pidFile.write();
    this.#ready = true;
    const listening = Object.entries(config.listeners).map(([name, { address }]) => `${name}=${address}`);
    this.#log.info("serving", {
      version: VERSION,
      pid: process.pid,
      listeners: listening.join(" "),
      workers: this.#supervisor.links.length,
    });
    this.#serviceManager.ready();
    // For whoever has started this process to take its place.
    process.send?.({ type: "serving" });
    this.#options.onReady?.(this);
  }

  /** Ends what was begun by a start that failed. */
  async abandon(): Promise<void> {
    this.#admin.stop();
    await this.#supervisor.close();
  }

  /** Loads the configuration anew. False when it was refused: then everything goes on as before. */
  reload(): Promise<boolean> {
    this.#outdated = true;
    const next = this.#reloading.then(() => this.#reload());
    this.#reloading = next.catch(() => {});
    return next;
  }

  async #reload(): Promise<boolean> {
    if (this.#stopping) return false;
    this.#serviceManager.reloading();
    try {
      await this.#applyAnew(await this.#options.load());
      this.#lastReloadGood = true;
    } catch (error) {
      this.#lastReloadGood = false;
      const { message, stack } = error as Error;
      // Anything else is a bug; no reason to stop serving, too.
      const reason = error instanceof EvenkeelError ? message : `${stack}`;
      this.#log.error(`reload refused, the configuration stays as it was: ${reason}`);
      this.#supervisor.events.publish("config.refused", { reason: message.trim() });
    } finally {
      this.#serviceManager.ready();
    }
    return this.#lastReloadGood;
  }

  async #applyAnew(loaded: LoadResult): Promise<void> {
    if (!loaded.ok) throw new EvenkeelError(`\n${formatProblems(loaded.problems, loaded.texts)}`);
    const { config } = loaded;
    const before = this.#supervisor.config;
    const admin = this.#admin.prepare(config.admin, false);
    try {
      await this.#supervisor.apply(config);
    } catch (error) {
      admin.abort();
      throw error;
    }
    admin.commit();
    this.#log.configure(config.log);
    this.#outside = loaded.outside;
    const changes = (before === undefined ? [] : diffConfigs(before, config)).join("; ") || "none";
    this.#log.info("reloaded", { generation: this.#supervisor.generation, changes });
    this.#supervisor.events.publish("config.reloaded", { reason: `changes: ${changes}` });
    const workers = workerCount(config, availableParallelism());
    if (workers !== this.#workers)
      this.#log.warn("the number of workers changes only with a restart or an upgrade (SIGUSR2)", {
        now: this.#workers,
        configured: workers,
      });
    this.#watch.set(config.watch);
  }

  #listenToSignals(): void {
    process.on("SIGHUP", () => void this.reload());
    process.on("SIGUSR1", () => {
      this.#log.info("reopening logs");
      this.#supervisor.reopenLogs();
    });
    process.on("SIGUSR2", () => void this.#handOver());
    process.on("SIGQUIT", () => void this.#stop("SIGQUIT", "at once"));
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        if (this.#endDelay !== undefined) this.#endDelay();
        else void this.#stop(signal, this.#stopping ? "at once" : "gracefully");
      });
    }
  }

  async #stop(why: string, how: "gracefully" | "handed over" | "at once"): Promise<void> {
    if (this.#stopping && how !== "at once") return;
    const again = this.#stopping;
    const handedOver = how === "handed over";
    this.#stopping = true;
    this.#ready = false;
    this.#handingOver?.cancel();
    this.#log.info(again ? "stopping at once" : "stopping", {
      signal: why,
      connections: this.#supervisor.openConnections,
    });
    // After a hand-over the service is not stopping, only this process of it.
    if (!handedOver) this.#serviceManager.stopping();
    this.#watch.close();
    if (how === "gracefully") await this.#delay();
    const drainMs = how === "at once" ? 0 : (this.#supervisor.config?.shutdown.drainTimeout ?? 0);
    if (drainMs > 0) await this.#supervisor.stop(drainMs, handedOver);
    else await this.#supervisor.close();
    this.#admin.stop();
    this.#pidFile.remove();
    this.#log.info("stopped");
    this.#finish(0);
  }

  /** Serves on until a balancer in front has seen that /readyz is 503, or until told again. */
  async #delay(): Promise<void> {
    const delayMs = this.#supervisor.config?.shutdown.delay ?? 0;
    if (delayMs === 0) return;
    await new Promise<void>((resolve) => {
      this.#endDelay = resolve;
      systemTimers.after(delayMs, resolve);
    });
    this.#endDelay = undefined;
    this.#log.info("draining", { connections: this.#supervisor.openConnections });
  }

  /** Starts the program anew, as it is on disk now, gives it the listening sockets, and stops once it serves. */
  async #handOver(): Promise<void> {
    if (this.#stopping || this.#handingOver !== undefined) return;
    this.#log.info("handing over to a new process");
    this.#outdated = false;
    this.#handingOver = handOver({
      command: [...this.#options.command, ...this.#options.argv],
      inheritance: this.#supervisor.inheritance,
      environment: this.#options.environment,
      timers: systemTimers,
    });
    const { problem, pid } = await this.#handingOver.outcome;
    this.#handingOver = undefined;
    if (this.#stopping) return;
    if (problem !== "") {
      this.#log.error("handing over failed, this process goes on serving", { reason: problem });
      return;
    }
    if (this.#outdated) process.kill(pid, "SIGHUP");
    this.#serviceManager.replacedBy(pid);
    this.#admin.stop(true);
    await this.#stop("SIGUSR2", "handed over");
  }

  #notReady(): string {
    if (this.#stopping) return "stopping";
    return this.#ready ? "" : "starting";
  }
}
