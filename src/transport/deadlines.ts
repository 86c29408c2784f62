/**
 * Timeouts for very many connections: each holds the time at which it has waited too long as a plain number, and one
 * sweep looks at all of them a few times a second. Setting and clearing a timeout costs an assignment.
 */
import type { Clock, Timer, Timers } from "../base/clock.ts";

export const NEVER = Number.POSITIVE_INFINITY;
/** How late a timeout may fire. */
export const SWEEP_INTERVAL_MS = 100;

export interface Deadline {
  /** When it is due; NEVER for not at all. Past the call of `onDeadline` it is up to its owner to set it anew. */
  deadlineMs: number;
  /** Kept by the sweep: place in its list, -1 when it is in none. */
  sweepIndex: number;
  onDeadline(nowMs: number): void;
}

export class DeadlineSweep {
  readonly #clock: Clock;
  readonly #items: Deadline[] = [];
  readonly #timer: Timer;
  /** The clock as it was at the last sweep: near enough for timeouts of minutes, and free to read. */
  nowMs: number;

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.nowMs = clock.now();
    this.#timer = timers.every(SWEEP_INTERVAL_MS, () => this.sweep());
  }

  get size(): number {
    return this.#items.length;
  }

  add(item: Deadline): void {
    if (item.sweepIndex >= 0) return;
    item.sweepIndex = this.#items.length;
    this.#items.push(item);
  }

  remove(item: Deadline): void {
    const index = item.sweepIndex;
    if (index < 0) return;
    item.sweepIndex = -1;
    const last = this.#items.pop() as Deadline;
    if (last === item) return;
    this.#items[index] = last;
    last.sweepIndex = index;
  }

  sweep(): void {
    const now = this.#clock.now();
    this.nowMs = now;
    // Backwards: an item that removes itself is replaced by one that has been looked at.
    for (let index = this.#items.length - 1; index >= 0; index--) {
      const item = this.#items[index];
      if (item === undefined || item.deadlineMs > now) continue;
      item.deadlineMs = NEVER;
      item.onDeadline(now);
    }
  }

  close(): void {
    this.#timer.stop();
  }
}
