/**
 * What passive detection remembers of each endpoint: failures in a row of each kind, and the results of the interval that
 * runs. Lies in shared memory, so that every worker counts into it and one process judges.
 */
import type { Region } from "../base/shared-memory.ts";
import type { Outcome } from "./outcome.ts";

/** Failures in a row are counted for each of these apart. */
export type Streak = "server-errors" | "gateway-errors" | "connect-failures" | "timeouts";

const STREAK_CELL: Readonly<Record<Streak, number>> = {
  "server-errors": 0,
  "gateway-errors": 1,
  "connect-failures": 2,
  timeouts: 3,
};
const TOTAL = 4;
const FAILURES = 5;
const ANSWERS = 6;
const LATENCY_SUM_MS = 7;
const CELLS = 8;

/** Keeps the sum of an interval within its 32 bits; an answer this slow is an outlier in any case. */
const MAX_LATENCY_MS = 60_000;

/** The results of one endpoint in one interval. */
export interface IntervalResults {
  total: number;
  failures: number;
  /** Average time to the first byte in milliseconds; 0 when nothing was answered. */
  latencyMs: number;
}

/** The counts of the endpoints of one pool, numbered from 0, as the detector reads them. */
export interface OutlierResults {
  readonly endpoints: number;
  record(endpoint: number, outcome: Outcome, latencyMs: number): void;
  streak(endpoint: number, streak: Streak): number;
  endStreak(endpoint: number, streak: Streak): void;
  takeInterval(endpoint: number, into: IntervalResults): void;
  clear(endpoint: number): void;
}

/** The endpoints of one pool, wherever their rows lie among those of all pools. */
export class SelectedResults implements OutlierResults {
  readonly endpoints: number;
  readonly #all: OutlierResults;
  readonly #rows: readonly number[];

  constructor(all: OutlierResults, rows: readonly number[]) {
    this.#all = all;
    this.#rows = rows;
    this.endpoints = rows.length;
  }

  record(endpoint: number, outcome: Outcome, latencyMs: number): void {
    this.#all.record(this.#row(endpoint), outcome, latencyMs);
  }

  streak(endpoint: number, streak: Streak): number {
    return this.#all.streak(this.#row(endpoint), streak);
  }

  endStreak(endpoint: number, streak: Streak): void {
    this.#all.endStreak(this.#row(endpoint), streak);
  }

  takeInterval(endpoint: number, into: IntervalResults): void {
    this.#all.takeInterval(this.#row(endpoint), into);
  }

  clear(endpoint: number): void {
    this.#all.clear(this.#row(endpoint));
  }

  #row(endpoint: number): number {
    return this.#rows[endpoint] as number;
  }
}

export class OutlierCounters implements OutlierResults {
  readonly endpoints: number;
  readonly #cells: Int32Array;

  static bytes(endpoints: number): number {
    return endpoints * CELLS * 4;
  }

  constructor(region: Region, endpoints: number) {
    this.endpoints = endpoints;
    this.#cells = new Int32Array(region.buffer, region.byteOffset, endpoints * CELLS);
  }

  /**
   * Takes in how an attempt ended. `latencyMs` is the time to the first byte; it does not matter where nothing was
   * answered. A streak ends with what proves it wrong: an established connection ends the connect failures, an answer
   * ends the timeouts.
   */
  record(endpoint: number, outcome: Outcome, latencyMs: number): void {
    const start = endpoint * CELLS;
    Atomics.add(this.#cells, start + TOTAL, 1);
    if (outcome !== "success") Atomics.add(this.#cells, start + FAILURES, 1);
    if (outcome === "connect-failure") {
      Atomics.add(this.#cells, start + STREAK_CELL["connect-failures"], 1);
      return;
    }
    this.#end(start + STREAK_CELL["connect-failures"]);
    if (outcome === "timeout") {
      Atomics.add(this.#cells, start + STREAK_CELL.timeouts, 1);
      return;
    }
    this.#end(start + STREAK_CELL.timeouts);
    Atomics.add(this.#cells, start + ANSWERS, 1);
    Atomics.add(this.#cells, start + LATENCY_SUM_MS, Math.min(MAX_LATENCY_MS, Math.round(latencyMs)));
    if (outcome === "success") this.#end(start + STREAK_CELL["server-errors"]);
    else Atomics.add(this.#cells, start + STREAK_CELL["server-errors"], 1);
    if (outcome === "gateway-error") Atomics.add(this.#cells, start + STREAK_CELL["gateway-errors"], 1);
    else this.#end(start + STREAK_CELL["gateway-errors"]);
  }

  /** Failures of this kind in a row. */
  streak(endpoint: number, streak: Streak): number {
    return Atomics.load(this.#cells, endpoint * CELLS + STREAK_CELL[streak]);
  }

  endStreak(endpoint: number, streak: Streak): void {
    this.#end(endpoint * CELLS + STREAK_CELL[streak]);
  }

  /** Reads the results of the interval into `into` and begins a new one; results that come in meanwhile belong to it. */
  takeInterval(endpoint: number, into: IntervalResults): void {
    const start = endpoint * CELLS;
    into.total = Atomics.exchange(this.#cells, start + TOTAL, 0);
    into.failures = Atomics.exchange(this.#cells, start + FAILURES, 0);
    const answers = Atomics.exchange(this.#cells, start + ANSWERS, 0);
    const sumMs = Atomics.exchange(this.#cells, start + LATENCY_SUM_MS, 0) >>> 0;
    into.latencyMs = answers === 0 ? 0 : sumMs / answers;
  }

  /** Forgets everything about an endpoint: it comes back with a clean slate. */
  clear(endpoint: number): void {
    for (let cell = endpoint * CELLS; cell < (endpoint + 1) * CELLS; cell++) Atomics.store(this.#cells, cell, 0);
  }

  /** Writes only when there is something to end: on a healthy endpoint the shared line stays where it is. */
  #end(cell: number): void {
    if (this.#cells[cell] !== 0) Atomics.store(this.#cells, cell, 0);
  }
}
