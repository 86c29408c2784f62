/**
 * Keeps a queue short by how long things wait in it, not by how many there are: a queue that is busy for a moment is left
 * alone, one that never gets empty is cut short. After CoDel (RFC 8289), as it is done for requests.
 */

export interface CodelOptions {
  /** Waiting this long is fine; milliseconds. */
  readonly targetMs: number;
  /** Only what has waited longer for all of this time is a standing queue; milliseconds. */
  readonly intervalMs: number;
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

  /** How long one may wait that is looked at now, in milliseconds. */
  timeoutMs(nowMs: number): number {
    return this.isOverloaded(nowMs) ? this.#options.targetMs : this.#options.intervalMs;
  }
}
