/**
 * When the balancer itself is overloaded, refuses the least important requests first: the longer its event loop lags or the
 * more memory it holds, the more of them. What must always be answered (administration, health) is not asked about here.
 */
import type { Random } from "../base/random.ts";

/** From what goes last to what goes first. */
export const PRIORITIES = ["critical", "high", "normal", "low"] as const;
export type Priority = (typeof PRIORITIES)[number];

export interface LoadSheddingOptions {
  /** Lag of the event loop at which shedding begins, and at which only critical requests pass; milliseconds. */
  readonly delayFromMs: number;
  readonly delayFullMs: number;
  /** The same for memory in bytes; `memoryFullBytes` 0 turns it off. */
  readonly memoryFromBytes: number;
  readonly memoryFullBytes: number;
  /** Time in which pressure falls from full to none at the fastest, so that it does not swing; milliseconds. */
  readonly recoveryMs: number;
}

/** What comes first has the lowest. */
export const PRIORITY_RANK: Readonly<Record<Priority, number>> = { critical: 0, high: 1, normal: 2, low: 3 };
/** Critical requests are never shed. */
const SHEDDABLE = PRIORITIES.length - 1;

export class LoadShedder {
  readonly #options: LoadSheddingOptions;
  readonly #random: Random;
  #pressure = 0;
  #sampledMs: number;
  #cause: "delay" | "memory" = "delay";

  constructor(options: LoadSheddingOptions, random: Random, nowMs: number) {
    this.#options = options;
    this.#random = random;
    this.#sampledMs = nowMs;
  }

  /** Takes in how late the event loop is and how much memory is in use; some times a second. */
  sample(delayMs: number, memoryBytes: number, nowMs: number): void {
    const { delayFromMs, delayFullMs, memoryFromBytes, memoryFullBytes, recoveryMs } = this.#options;
    const delay = between(delayMs, delayFromMs, delayFullMs);
    const memory = memoryFullBytes === 0 ? 0 : between(memoryBytes, memoryFromBytes, memoryFullBytes);
    const measured = Math.max(delay, memory);
    if (measured > 0) this.#cause = memory > delay ? "memory" : "delay";
    const fallen = this.#pressure - Math.max(0, nowMs - this.#sampledMs) / recoveryMs;
    this.#pressure = Math.max(0, measured, fallen);
    this.#sampledMs = nowMs;
  }

  /** 0 when all is well, 1 when only critical requests pass. */
  get pressure(): number {
    return this.#pressure;
  }

  /** What the pressure comes from, or last came from. */
  get cause(): "delay" | "memory" {
    return this.#cause;
  }

  /** The share of requests of this priority that are refused now, 0 to 1. One priority is shed wholly before the next. */
  shedShare(priority: Priority): number {
    const turn = SHEDDABLE - PRIORITY_RANK[priority];
    return turn === SHEDDABLE ? 0 : Math.min(1, Math.max(0, this.#pressure * SHEDDABLE - turn));
  }

  /** May this request be served? Refused ones are answered with 503 and `Retry-After`. */
  admits(priority: Priority): boolean {
    if (this.#pressure === 0) return true;
    const share = this.shedShare(priority);
    return share === 0 || this.#random.next() >= share;
  }
}

/** Where `value` lies on the way from `from` to `full`, held within 0 to 1. */
function between(value: number, from: number, full: number): number {
  if (value <= from) return 0;
  return value >= full ? 1 : (value - from) / (full - from);
}
