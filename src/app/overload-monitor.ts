/** Measures how late this process is and how much memory it has, for the listeners that shed load. Off while there are none. */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Shedding } from "../http/shedding.ts";
import type { EventReport } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import { LoadShedder } from "../resilience/load-shedding.ts";
import { loadSheddingOptions } from "../resilience/options.ts";
import type { LoadSheddingConfig } from "../resilience/schema.ts";

const SAMPLE_MS = 100;

export interface OverloadMonitorOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly report: (event: EventReport) => void;
  /** Resident memory of this process. */
  readonly memoryBytes: () => number;
}

interface Watched {
  readonly configText: string;
  readonly shedding: Shedding;
  isShedding: boolean;
}

export class OverloadMonitor {
  readonly #options: OverloadMonitorOptions;
  #listeners = new Map<string, Watched>();
  /** Of the configuration that is being prepared. */
  #next = new Map<string, Watched>();
  #timer: Timer | undefined;
  #sampledMs = 0;

  constructor(options: OverloadMonitorOptions) {
    this.#options = options;
  }

  /** What will shed for a listener from `commit` on, the same as before while its settings stay; undefined where it is off. */
  prepare(listener: string, config: LoadSheddingConfig): Shedding | undefined {
    if (config === false) return undefined;
    const configText = JSON.stringify(config);
    const known = this.#listeners.get(listener);
    const watched = known?.configText === configText ? known : this.#begin(config, configText);
    this.#next.set(listener, watched);
    return watched.shedding;
  }

  /** Watches for what was prepared, and for nothing else. */
  commit(): void {
    this.#listeners = this.#next;
    this.#next = new Map();
    this.#keepTime();
  }

  abort(): void {
    this.#next.clear();
  }

  close(): void {
    this.#listeners.clear();
    this.#keepTime();
  }

  #begin(config: Exclude<LoadSheddingConfig, false>, configText: string): Watched {
    const { clock, random } = this.#options;
    const shedder = new LoadShedder(loadSheddingOptions(config), random, clock.now());
    return { configText, shedding: { shedder, header: config.priorityHeader }, isShedding: false };
  }

  #keepTime(): void {
    if (this.#listeners.size === 0) {
      this.#timer?.stop();
      this.#timer = undefined;
    } else if (this.#timer === undefined) {
      this.#sampledMs = this.#options.clock.now();
      this.#timer = this.#options.timers.every(SAMPLE_MS, () => this.#sample());
    }
  }

  /** The timer of a busy event loop comes late: by as much as everything else does. */
  #sample(): void {
    const { clock, memoryBytes } = this.#options;
    const nowMs = clock.now();
    const delayMs = Math.max(0, nowMs - this.#sampledMs - SAMPLE_MS);
    this.#sampledMs = nowMs;
    for (const [listener, watched] of this.#listeners) {
      const { shedder } = watched.shedding;
      shedder.sample(delayMs, memoryBytes(), nowMs);
      if (shedder.pressure > 0 === watched.isShedding) continue;
      watched.isShedding = !watched.isShedding;
      this.#tell(listener, watched);
    }
  }

  #tell(listener: string, { isShedding, shedding }: Watched): void {
    const { log, report } = this.#options;
    const { cause } = shedding.shedder;
    if (isShedding) {
      log.warn("overloaded: refusing requests", { listener, cause });
      report({ type: "listener.overloaded", listener, reason: `a worker is over its bound: ${cause}` });
    } else {
      log.info("no longer overloaded", { listener });
      report({ type: "listener.relieved", listener, reason: "a worker is within its bounds again" });
    }
  }
}
