/**
 * Stops sending to what fails: closed (all pass), open (none pass, for a while), half-open (a few pass on trial, which
 * decide). For an endpoint or a whole pool. Its state lies in shared memory, one breaker for all workers.
 */
import type { Region } from "../base/shared-memory.ts";
import { BreakerWindow, WINDOW_WORDS, type WindowSums } from "./breaker-window.ts";

export interface CircuitBreakerOptions {
  /** Failures in a row that open it; 0 turns this off. */
  readonly consecutiveFailures: number;
  /** Percent of failures in the window that opens it; 0 turns this off. */
  readonly failureRatePercent: number;
  /** Percent of slow answers in the window that opens it; 0 turns this off. */
  readonly slowRatePercent: number;
  /** An answer that takes longer is slow; milliseconds. */
  readonly slowMs: number;
  /** The time that the rates look back over; milliseconds. */
  readonly windowMs: number;
  /** Requests that there must be in the window before a rate means anything. */
  readonly minimumVolume: number;
  /** How long it stays open before trials begin, and how long trials may take; milliseconds. */
  readonly openMs: number;
  /** Requests that pass on trial; all of them must succeed for it to close. */
  readonly trials: number;
}

export type BreakerState = "closed" | "open" | "half-open";
export type BreakerCause =
  | "consecutive-failures"
  | "failure-rate"
  | "slow-rate"
  | "trial-failed"
  | "trials-passed"
  | "time-to-try";

export interface BreakerEvent {
  readonly from: BreakerState;
  readonly to: BreakerState;
  readonly cause: BreakerCause;
  /** Failures in a row, percent in the window, or trials: see `cause`. */
  readonly measured: number;
  readonly atMs: number;
}

/** What `admit` gives: refused, passed as usual, or (any positive number) passed on trial. Hand it back when it has ended. */
export type Admission = number;
export const REFUSED: Admission = -1;
export const PASSED: Admission = 0;

const STATES: readonly BreakerState[] = ["closed", "open", "half-open"];
const CLOSED = 0;
const OPEN = 1;
const HALF_OPEN = 2;

const STATE = 0;
/** When the state began, or the trials last began anew: milliseconds modulo 2^32. */
const SINCE = 1;
const STREAK = 2;
/** Number of this round of trials, so that those of an earlier one cannot decide it. */
const ROUND = 3;
const TRIALS_BEGUN = 4;
const TRIALS_PASSED = 5;
const HEADER_WORDS = 6;

export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  readonly #onEvent: (event: BreakerEvent) => void;
  readonly #words: Int32Array;
  readonly #window: BreakerWindow;
  readonly #sums: WindowSums = { total: 0, failed: 0, slow: 0 };

  static bytes(): number {
    return Math.ceil((HEADER_WORDS + WINDOW_WORDS) / 2) * 8;
  }

  /**
   * `region` is zeroed memory or that of a breaker already in use. Everyone who shares it must pass times of the same clock.
   * `onEvent` is called in the process that changed the state, and nowhere else.
   */
  constructor(region: Region, options: CircuitBreakerOptions, onEvent: (event: BreakerEvent) => void) {
    this.#options = options;
    this.#onEvent = onEvent;
    this.#words = new Int32Array(region.buffer, region.byteOffset, HEADER_WORDS);
    const words = new Int32Array(region.buffer, region.byteOffset + HEADER_WORDS * 4, WINDOW_WORDS);
    this.#window = new BreakerWindow(words, options.windowMs);
  }

  get state(): BreakerState {
    return STATES[Atomics.load(this.#words, STATE)] as BreakerState;
  }

  /** May a request be sent now? What was not refused must be given to `record` or `cancel` when it has ended. */
  admit(nowMs: number): Admission {
    const state = Atomics.load(this.#words, STATE);
    if (state === CLOSED) return PASSED;
    if (state === OPEN) {
      if (this.#elapsed(nowMs) < this.#options.openMs) return REFUSED;
      this.#change(OPEN, HALF_OPEN, "time-to-try", this.#options.trials, nowMs);
    } else if (this.#elapsed(nowMs) >= this.#options.openMs) this.#renewTrials(nowMs);
    return this.#tryTrial();
  }

  /** Milliseconds until trials begin; 0 when it is not open. For `Retry-After`. */
  opensInMs(nowMs: number): number {
    if (Atomics.load(this.#words, STATE) !== OPEN) return 0;
    return Math.max(0, this.#options.openMs - this.#elapsed(nowMs));
  }

  /** How an admitted request ended. `latencyMs` is the time to its first byte. */
  record(admission: Admission, failed: boolean, latencyMs: number, nowMs: number): void {
    const slow = this.#options.slowRatePercent > 0 && latencyMs > this.#options.slowMs;
    if (admission === PASSED) this.#recordClosed(failed, slow, nowMs);
    else if (this.#isCurrent(admission)) this.#recordTrial(failed || slow, nowMs);
  }

  /** An admitted request was not sent, or its end says nothing about the endpoint (the client left). */
  cancel(admission: Admission): void {
    if (admission > PASSED && this.#isCurrent(admission)) Atomics.sub(this.#words, TRIALS_BEGUN, 1);
  }

  #recordClosed(failed: boolean, slow: boolean, nowMs: number): void {
    // What was sent before it opened says nothing new while it is open.
    if (Atomics.load(this.#words, STATE) !== CLOSED) return;
    this.#window.add(failed, slow, nowMs);
    if (!failed) {
      if (this.#words[STREAK] !== 0) Atomics.store(this.#words, STREAK, 0);
      if (!slow) return;
    }
    const { consecutiveFailures, failureRatePercent, slowRatePercent, minimumVolume } = this.#options;
    const streak = failed ? Atomics.add(this.#words, STREAK, 1) + 1 : 0;
    if (consecutiveFailures > 0 && streak >= consecutiveFailures) {
      this.#change(CLOSED, OPEN, "consecutive-failures", streak, nowMs);
      return;
    }
    const sums = this.#sums;
    this.#window.sum(nowMs, sums);
    if (sums.total < minimumVolume || sums.total === 0) return;
    const failureRate = (sums.failed * 100) / sums.total;
    const slowRate = (sums.slow * 100) / sums.total;
    if (failureRatePercent > 0 && failureRate >= failureRatePercent) {
      this.#change(CLOSED, OPEN, "failure-rate", failureRate, nowMs);
    } else if (slowRatePercent > 0 && slowRate >= slowRatePercent) {
      this.#change(CLOSED, OPEN, "slow-rate", slowRate, nowMs);
    }
  }

  #recordTrial(bad: boolean, nowMs: number): void {
    if (bad) {
      this.#change(HALF_OPEN, OPEN, "trial-failed", 1, nowMs);
      return;
    }
    const passed = Atomics.add(this.#words, TRIALS_PASSED, 1) + 1;
    if (passed >= this.#options.trials) this.#change(HALF_OPEN, CLOSED, "trials-passed", passed, nowMs);
  }

  #tryTrial(): Admission {
    const round = Atomics.load(this.#words, ROUND);
    if (Atomics.add(this.#words, TRIALS_BEGUN, 1) < this.#options.trials) return round;
    Atomics.sub(this.#words, TRIALS_BEGUN, 1);
    return REFUSED;
  }

  /** Trials that never ended, those of a dead worker for instance, must not keep it half-open for ever. */
  #renewTrials(nowMs: number): void {
    const since = Atomics.load(this.#words, SINCE);
    if (Atomics.compareExchange(this.#words, SINCE, since, nowMs | 0) === since) this.#nextRound();
  }

  #isCurrent(admission: Admission): boolean {
    return Atomics.load(this.#words, STATE) === HALF_OPEN && Atomics.load(this.#words, ROUND) === admission;
  }

  /** Of several that find the same reason at the same time, one makes the change and tells of it. */
  #change(from: number, to: number, cause: BreakerCause, measured: number, nowMs: number): void {
    if (Atomics.load(this.#words, STATE) !== from) return;
    if (to === OPEN) this.#nextRound();
    Atomics.store(this.#words, SINCE, nowMs | 0);
    if (Atomics.compareExchange(this.#words, STATE, from, to) !== from) return;
    if (to === CLOSED) {
      Atomics.store(this.#words, STREAK, 0);
      this.#window.clear();
    }
    this.#onEvent({
      from: STATES[from] as BreakerState,
      to: STATES[to] as BreakerState,
      cause,
      measured,
      atMs: nowMs,
    });
  }

  #nextRound(): void {
    Atomics.store(this.#words, TRIALS_BEGUN, 0);
    Atomics.store(this.#words, TRIALS_PASSED, 0);
    // Positive for ever: 0 and -1 have meanings of their own.
    Atomics.store(this.#words, ROUND, ((this.#words[ROUND] as number) % 0x3fff_ffff) + 1);
  }

  /** Right for spans of up to 24 days, over which the word wraps around. */
  #elapsed(nowMs: number): number {
    return ((nowMs | 0) - Atomics.load(this.#words, SINCE)) | 0;
  }
}

/** The state of the breaker in this memory, for who only looks at it. */
export function breakerStateIn({ buffer, byteOffset }: Region): BreakerState {
  return STATES[new Int32Array(buffer, byteOffset, HEADER_WORDS)[STATE] as number] as BreakerState;
}

/** The change in words: `open: 52% of requests failed`. */
export function describeBreakerEvent({ to, cause, measured }: BreakerEvent): string {
  switch (cause) {
    case "consecutive-failures":
      return `${to}: ${measured} failures in a row`;
    case "failure-rate":
      return `${to}: ${measured.toFixed(0)}% of requests failed`;
    case "slow-rate":
      return `${to}: ${measured.toFixed(0)}% of answers were slow`;
    case "trial-failed":
      return `${to}: a trial request failed`;
    case "trials-passed":
      return `${to}: ${measured} trial requests succeeded`;
    case "time-to-try":
      return `${to}: ${measured} requests may pass on trial`;
  }
}
