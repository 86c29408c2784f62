/** The processes that take each other's place in a chaos run: each has an access log and counters of its own. */
import type { SharedTables } from "../../src/app/memory.ts";
import type { Metrics } from "../support/evenkeel.ts";

/** Counters, and when they were read on the clients' clock. */
export interface Reading {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly metrics: Metrics;
}

export interface Generation {
  readonly accessLog: string;
  /** When its workers were killed, on the clients' clock. */
  readonly killsMs: number[];
  /** Its counters to the very end, once another has taken its place. */
  memory: SharedTables | undefined;
  /** The last before another took its place, or before it was told to stop. */
  reading: Reading | undefined;
}

export class Generations {
  readonly all: Generation[];
  /** Whether one takes another's place right now: then either may answer. */
  isChanging = false;
  /** Changes whenever `isChanging` does. */
  epoch = 0;
  readonly #accessLog: (generation: number) => string;

  constructor(accessLog: (generation: number) => string) {
    this.#accessLog = accessLog;
    this.all = [];
    this.begin();
  }

  /** The number of the one that serves. */
  get current(): number {
    return this.all.length - 1;
  }

  get serving(): Generation {
    return this.all[this.current] as Generation;
  }

  begin(): void {
    this.all.push({ accessLog: this.#accessLog(this.all.length), killsMs: [], memory: undefined, reading: undefined });
  }

  async change(run: () => Promise<void>): Promise<void> {
    this.isChanging = true;
    this.epoch++;
    try {
      await run();
    } finally {
      this.isChanging = false;
      this.epoch++;
    }
  }
}
