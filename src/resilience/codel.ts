/**
 * Keeps a queue short by how long things wait in it, not by how many there are: a queue that is busy for a moment is left
 * alone, one that stays long is thinned out ever faster. Source: CoDel (RFC 8289).
 */

export interface CodelOptions {
  /** Waiting this long is fine; milliseconds. */
  readonly targetMs: number;
  /** Only what has waited longer for all of this time is a standing queue; milliseconds. */
  readonly intervalMs: number;
}

/** Intervals after which a new standing queue has nothing to do with the last one. */
const SAME_EPISODE_INTERVALS = 16;

export class Codel {
  readonly #options: CodelOptions;
  /** When waiting will have been too long for an interval; 0 while it is not. */
  #standingFromMs = 0;
  #dropping = false;
  #nextDropMs = 0;
  #drops = 0;
  #dropsBefore = 0;

  constructor(options: CodelOptions) {
    this.#options = options;
  }

  /**
   * To be asked of everything that is taken out of the queue: true when it is to be refused, and the next one taken out
   * instead. `waitedMs` is how long it waited, `remaining` how many are left behind it: the last one is never refused.
   */
  shouldDrop(waitedMs: number, remaining: number, nowMs: number): boolean {
    if (!this.#isStanding(waitedMs, remaining, nowMs)) {
      this.#dropping = false;
      return false;
    }
    if (!this.#dropping) {
      this.#begin(nowMs);
      return true;
    }
    if (nowMs < this.#nextDropMs) return false;
    this.#drops++;
    this.#nextDropMs += this.#pauseMs();
    return true;
  }

  get dropping(): boolean {
    return this.#dropping;
  }

  #isStanding(waitedMs: number, remaining: number, nowMs: number): boolean {
    if (waitedMs < this.#options.targetMs || remaining === 0) {
      this.#standingFromMs = 0;
      return false;
    }
    if (this.#standingFromMs === 0) this.#standingFromMs = nowMs + this.#options.intervalMs;
    return nowMs >= this.#standingFromMs;
  }

  /** Goes on at the rate of the last time when that was not long ago, since it was nearly right. */
  #begin(nowMs: number): void {
    const { intervalMs } = this.#options;
    const recent = nowMs - this.#nextDropMs < SAME_EPISODE_INTERVALS * intervalMs;
    const dropped = this.#drops - this.#dropsBefore;
    this.#dropping = true;
    this.#drops = dropped > 1 && recent ? dropped : 1;
    this.#dropsBefore = this.#drops;
    this.#nextDropMs = nowMs + this.#pauseMs();
  }

  #pauseMs(): number {
    return this.#options.intervalMs / Math.sqrt(this.#drops);
  }
}

/**
 * The rule for queues of requests whose clients give up: as long as the queue was empty a moment ago everyone may wait for
 * `intervalMs`, oldest first; once it has not been, for `targetMs` only, newest first, since the oldest have nobody waiting
 * for them any more. Source: Facebook's "Fail at Scale".
 */
export class OverloadWatch {
  readonly #options: CodelOptions;
  #lastEmptyMs: number;
  #length = 0;

  constructor(options: CodelOptions, nowMs: number) {
    this.#options = options;
    this.#lastEmptyMs = nowMs;
  }

  /** The queue has this many waiting now. */
  lengthChanged(length: number, nowMs: number): void {
    // It was empty until this moment.
    if (length === 0 || this.#length === 0) this.#lastEmptyMs = nowMs;
    this.#length = length;
  }

  isOverloaded(nowMs: number): boolean {
    return this.#length > 0 && nowMs - this.#lastEmptyMs > this.#options.intervalMs;
  }

  /** Whom to serve next. */
  order(nowMs: number): "oldest-first" | "newest-first" {
    return this.isOverloaded(nowMs) ? "newest-first" : "oldest-first";
  }

  /** How long one may wait that is looked at now, in milliseconds. */
  timeoutMs(nowMs: number): number {
    return this.isOverloaded(nowMs) ? this.#options.targetMs : this.#options.intervalMs;
  }
}
