/**
 * Where requests wait while every endpoint has as many exchanges as it may: first come, first served, bounded in number
 * and time. A place that becomes free in this worker is passed on at once; one in another worker is found by looking
 * again every few milliseconds.
 */
import type { Clock, Timer, Timers } from "../base/clock.ts";

const POLL_INTERVAL_MS = 10;

export interface Waiter {
  /** When it must have left the queue whatever the queue itself allows, on the clock's scale; infinite for never. */
  readonly deadlineMs: number;
  /** Takes an endpoint if one is free now; true when it need not wait any longer. */
  tryAgain(): boolean;
  /** It waited for as long as it may. */
  waitedTooLong(nowMs: number): void;
}

export class WaitQueue {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #onLength: (change: number) => void;
  readonly #waiters = new Map<Waiter, number>();
  /** No waiter's time is over before this. */
  #nextDueMs = Number.POSITIVE_INFINITY;
  #size: number;
  #timeoutMs: number;
  #poll: Timer | undefined;
  #waking = false;

  /** `onLength` is told by how much the number of waiters has changed. */
  constructor(size: number, timeoutMs: number, clock: Clock, timers: Timers, onLength: (change: number) => void) {
    this.#size = size;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.#timers = timers;
    this.#onLength = onLength;
  }

  get length(): number {
    return this.#waiters.size;
  }

  /** Settings may change with a reload; those who wait keep the time they were promised. */
  configure(size: number, timeoutMs: number): void {
    this.#size = size;
    this.#timeoutMs = timeoutMs;
  }

  /** False when the queue is full. */
  add(waiter: Waiter): boolean {
    if (this.#waiters.size >= this.#size) return false;
    const dueMs = Math.min(this.#clock.now() + this.#timeoutMs, waiter.deadlineMs);
    this.#waiters.set(waiter, dueMs);
    this.#nextDueMs = Math.min(this.#nextDueMs, dueMs);
    this.#onLength(1);
    this.#poll ??= this.#timers.every(POLL_INTERVAL_MS, () => this.#look());
    return true;
  }

  /** Takes out one that has left. */
  remove(waiter: Waiter): void {
    if (!this.#waiters.delete(waiter)) return;
    this.#onLength(-1);
    if (this.#waiters.size === 0) this.#stopPolling();
  }

  /** A place may be free: lets those in front try. */
  wake(): void {
    // A waiter that fails at once releases its endpoint and comes back here; the loop below sees to the next one.
    if (this.#waking) return;
    this.#waking = true;
    for (const waiter of this.#waiters.keys()) {
      if (!waiter.tryAgain()) break;
      this.remove(waiter);
    }
    this.#waking = false;
  }

  close(): void {
    this.#stopPolling();
  }

  #look(): void {
    const now = this.#clock.now();
    if (now >= this.#nextDueMs) this.#expire(now);
    this.wake();
  }

  #expire(now: number): void {
    this.#nextDueMs = Number.POSITIVE_INFINITY;
    for (const [waiter, dueMs] of this.#waiters) {
      if (dueMs > now) this.#nextDueMs = Math.min(this.#nextDueMs, dueMs);
      else {
        this.remove(waiter);
        waiter.waitedTooLong(now);
      }
    }
  }

  #stopPolling(): void {
    this.#poll?.stop();
    this.#poll = undefined;
  }
}
