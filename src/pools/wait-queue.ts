/**
 * Where requests wait while every endpoint has as many exchanges as it may: first come, first served, bounded in number
 * and time. A place that becomes free in this worker is passed on at once; one in another worker is found by looking
 * again every few milliseconds.
 */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import { type CodelOptions, OverloadWatch } from "../resilience/codel.ts";

const POLL_INTERVAL_MS = 10;

export interface Waiter {
  /** When it must have left the queue whatever the queue itself allows, on the clock's scale; infinite for never. */
  readonly deadlineMs: number;
  /** Takes an endpoint if one is free now; true when it need not wait any longer. */
  tryAgain(): boolean;
  /** It waited for as long as it may. */
  waitedTooLong(nowMs: number): void;
}

export interface WaitQueueOptions {
  /** Waiters at most. */
  readonly size: number;
  readonly timeoutMs: number;
  /** Cuts a queue short that never gets empty; undefined leaves it to the timeout. */
  readonly codel: CodelOptions | undefined;
}

export class WaitQueue {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #onLength: (change: number) => void;
  readonly #waiters = new Map<Waiter, { readonly sinceMs: number; readonly dueMs: number }>();
  /** No waiter's time is over before this. */
  #nextDueMs = Number.POSITIVE_INFINITY;
  #options: WaitQueueOptions;
  /** Undefined when overload makes no difference. */
  #overload: OverloadWatch | undefined;
  #poll: Timer | undefined;
  #waking = false;

  /** `onLength` is told by how much the number of waiters has changed. */
  constructor(options: WaitQueueOptions, clock: Clock, timers: Timers, onLength: (change: number) => void) {
    this.#options = options;
    this.#clock = clock;
    this.#timers = timers;
    this.#onLength = onLength;
    this.#overload = overloadWatch(options, clock.now());
  }

  get length(): number {
    return this.#waiters.size;
  }

  /** Settings may change with a reload; those who wait keep the time they were promised. */
  configure(options: WaitQueueOptions): void {
    if (JSON.stringify(options.codel) !== JSON.stringify(this.#options.codel))
      this.#overload = overloadWatch(options, this.#clock.now());
    this.#options = options;
  }

  /** False when the queue is full. */
  add(waiter: Waiter): boolean {
    if (this.#waiters.size >= this.#options.size) return false;
    const nowMs = this.#clock.now();
    const dueMs = Math.min(nowMs + this.#options.timeoutMs, waiter.deadlineMs);
    this.#waiters.set(waiter, { sinceMs: nowMs, dueMs });
    this.#overload?.lengthChanged(this.#waiters.size, nowMs);
    this.#nextDueMs = Math.min(this.#nextDueMs, dueMs);
    this.#onLength(1);
    this.#poll ??= this.#timers.every(POLL_INTERVAL_MS, () => this.#look());
    return true;
  }

  /** Takes out one that has left. */
  remove(waiter: Waiter): void {
    if (!this.#waiters.delete(waiter)) return;
    this.#onLength(-1);
    this.#overload?.lengthChanged(this.#waiters.size, this.#clock.now());
    if (this.#waiters.size === 0) this.#stopPolling();
  }

  /** A place may be free: lets those in front try. */
  wake(): void {
    // A waiter that fails at once releases its endpoint and comes back here; the loop below sees to the next one.
    if (this.#waking) return;
    this.#waking = true;
    for (const waiter of this.#inOrder()) {
      // Of a copy, one may have left meanwhile.
      if (!this.#waiters.has(waiter)) continue;
      if (!waiter.tryAgain()) break;
      this.remove(waiter);
    }
    this.#waking = false;
  }

  close(): void {
    this.#stopPolling();
  }

  /** While the queue never gets empty the newest come first: the oldest have hardly anybody waiting for them any more. */
  #inOrder(): Iterable<Waiter> {
    if (this.#overload?.isOverloaded(this.#clock.now()) === true) return [...this.#waiters.keys()].reverse();
    return this.#waiters.keys();
  }

  #look(): void {
    const now = this.#clock.now();
    if (this.#overload?.isOverloaded(now) === true) this.#cutShort(now, this.#overload.timeoutMs(now));
    if (now >= this.#nextDueMs) this.#expire(now);
    this.wake();
  }

  /** Lets those go that have waited longer than this. */
  #cutShort(now: number, waitMs: number): void {
    for (const [waiter, { sinceMs }] of this.#waiters) {
      // The oldest stand in front.
      if (now - sinceMs <= waitMs) break;
      this.remove(waiter);
      waiter.waitedTooLong(now);
    }
  }

  #expire(now: number): void {
    this.#nextDueMs = Number.POSITIVE_INFINITY;
    for (const [waiter, { dueMs }] of this.#waiters) {
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

function overloadWatch({ codel }: WaitQueueOptions, nowMs: number): OverloadWatch | undefined {
  return codel === undefined ? undefined : new OverloadWatch(codel, nowMs);
}
