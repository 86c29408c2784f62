/**
 * Where requests wait while every endpoint has as many exchanges as it may: by rank, among equals first come, first served,
 * bounded in number and time. A place that becomes free in this worker is passed on at once; one in another worker is found
 * by looking again every few milliseconds.
 */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import { type CodelOptions, OverloadWatch } from "../resilience/codel.ts";
import { PRIORITIES } from "../resilience/load-shedding.ts";
import { type Waiter, WaitLane, WaitPlace } from "./wait-lane.ts";

const POLL_INTERVAL_MS = 10;

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
  /** By rank. */
  readonly #lanes = PRIORITIES.map(() => new WaitLane());
  #length = 0;
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
    return this.#length;
  }

  /** Settings may change with a reload; those who wait keep the time they were promised. */
  configure(options: WaitQueueOptions): void {
    if (JSON.stringify(options.codel) !== JSON.stringify(this.#options.codel))
      this.#overload = overloadWatch(options, this.#clock.now());
    this.#options = options;
  }

  /** Its place, to be given to `remove` when it leaves; undefined when the queue is full of others no less important. */
  add(waiter: Waiter): WaitPlace | undefined {
    // Again and again: whoever is displaced may bring the next request of its client here.
    while (this.#length >= this.#options.size) if (!this.displaceFor(waiter.rank)) return undefined;
    return this.#join(waiter, this.#clock.now());
  }

  /** Makes room for one of this rank, at the cost of one that is less important; false when there is none. */
  displaceFor(rank: number): boolean {
    const place = this.#lastBelow(rank);
    if (place === undefined) return false;
    this.remove(place);
    place.waiter.displaced();
    return true;
  }

  /** Takes out one that has left. */
  remove(place: WaitPlace): void {
    if (place.lane === undefined) return;
    place.lane.leave(place);
    this.#length--;
    this.#onLength(-1);
    this.#overload?.lengthChanged(this.#length, this.#clock.now());
    if (this.#length === 0) this.#stopPolling();
  }

  /** A place may be free: lets those in front try. */
  wake(): void {
    // A waiter that fails at once releases its endpoint and comes back here; the loop below sees to the next one.
    if (this.#waking || this.#length === 0) return;
    this.#waking = true;
    const nowMs = this.#clock.now();
    const newestFirst = this.#isOverloaded(nowMs);
    for (let place = this.#first(newestFirst); place !== undefined; place = this.#first(newestFirst)) {
      // Nobody waits for its answer any more.
      if (place.waiter.deadlineMs <= nowMs) this.#letGo(place, nowMs);
      else if (place.waiter.tryAgain()) {
        this.remove(place);
        place.waiter.go();
      } else break;
    }
    this.#waking = false;
  }

  close(): void {
    this.#stopPolling();
  }

  #join(waiter: Waiter, nowMs: number): WaitPlace {
    const dueMs = Math.min(nowMs + this.#options.timeoutMs, waiter.deadlineMs);
    const place = new WaitPlace(waiter, nowMs, dueMs);
    (this.#lanes[waiter.rank] as WaitLane).join(place);
    this.#length++;
    this.#overload?.lengthChanged(this.#length, nowMs);
    this.#nextDueMs = Math.min(this.#nextDueMs, dueMs);
    this.#onLength(1);
    this.#poll ??= this.#timers.every(POLL_INTERVAL_MS, () => this.#look());
    return place;
  }

  /** While the queue never gets empty the newest come first: the oldest have hardly anybody waiting for them any more. */
  #isOverloaded(nowMs: number): boolean {
    return this.#overload?.isOverloaded(nowMs) === true;
  }

  /** Whoever is to be served next. */
  #first(newestFirst: boolean): WaitPlace | undefined {
    for (const lane of this.#lanes) {
      const place = newestFirst ? lane.newest : lane.oldest;
      if (place !== undefined) return place;
    }
    return undefined;
  }

  /** Whoever would be served last of all, if that one is less important than `rank`. */
  #lastBelow(rank: number): WaitPlace | undefined {
    for (let lowest = this.#lanes.length - 1; lowest > rank; lowest--) {
      const { oldest, newest } = this.#lanes[lowest] as WaitLane;
      if (oldest !== undefined) return this.#isOverloaded(this.#clock.now()) ? oldest : newest;
    }
    return undefined;
  }

  #letGo(place: WaitPlace, nowMs: number): void {
    if (place.lane === undefined) return;
    this.remove(place);
    place.waiter.waitedTooLong(nowMs);
  }

  #look(): void {
    const nowMs = this.#clock.now();
    if (this.#overload?.isOverloaded(nowMs) === true) this.#cutShort(nowMs, this.#overload.timeoutMs(nowMs));
    if (nowMs >= this.#nextDueMs) this.#expire(nowMs);
    this.wake();
  }

  /** Lets those go that have waited longer than this. */
  #cutShort(nowMs: number, waitMs: number): void {
    for (const lane of this.#lanes)
      for (let place = lane.oldest; place !== undefined && nowMs - place.sinceMs > waitMs; place = lane.oldest)
        this.#letGo(place, nowMs);
  }

  #expire(nowMs: number): void {
    const expired: WaitPlace[] = [];
    this.#nextDueMs = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes)
      for (let place = lane.oldest; place !== undefined; place = place.behind) {
        if (place.dueMs > nowMs) this.#nextDueMs = Math.min(this.#nextDueMs, place.dueMs);
        else expired.push(place);
      }
    // By then, one may have left because another did.
    for (const place of expired) this.#letGo(place, nowMs);
  }

  #stopPolling(): void {
    this.#poll?.stop();
    this.#poll = undefined;
  }
}

function overloadWatch({ codel }: WaitQueueOptions, nowMs: number): OverloadWatch | undefined {
  return codel === undefined ? undefined : new OverloadWatch(codel, nowMs);
}
