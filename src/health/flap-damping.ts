/**
 * Keeps out for longer what goes up and down all the time. Every time it goes down a penalty is added, which halves with
 * time; above one bound it is held back, below another it is trusted again. Source: BGP route flap damping (RFC 2439).
 */

export interface FlapDampingOptions {
  /** The time in which a penalty halves; milliseconds. */
  readonly halfLifeMs: number;
  /** Held back above this many flaps' worth of penalty. */
  readonly suppressAt: number;
  /** Trusted again below this many. */
  readonly reuseAt: number;
  /** However often it flapped, it is held back for no longer than this after the last time; milliseconds. */
  readonly maxSuppressMs: number;
}

export class FlapDamping {
  readonly #options: FlapDampingOptions;
  readonly #ceiling: number;
  #penalty = 0;
  #stampMs: number;
  #suppressed = false;

  constructor(options: FlapDampingOptions, nowMs: number) {
    this.#options = options;
    this.#stampMs = nowMs;
    // A penalty that takes just `maxSuppressMs` to come down to the bound of reuse.
    this.#ceiling = options.reuseAt * 2 ** (options.maxSuppressMs / options.halfLifeMs);
  }

  /** It has gone down. True when it is held back from now on. */
  wentDown(nowMs: number): boolean {
    const before = this.isSuppressed(nowMs);
    this.#penalty = Math.min(this.#ceiling, this.penalty(nowMs) + 1);
    this.#stampMs = nowMs;
    if (this.#penalty > this.#options.suppressAt) this.#suppressed = true;
    return this.#suppressed && !before;
  }

  /** Whether it stays out although it is healthy. */
  isSuppressed(nowMs: number): boolean {
    if (this.#suppressed && this.penalty(nowMs) < this.#options.reuseAt) this.#suppressed = false;
    return this.#suppressed;
  }

  /** Flaps' worth of penalty that is left. */
  penalty(nowMs: number): number {
    return this.#penalty * 2 ** (-Math.max(0, nowMs - this.#stampMs) / this.#options.halfLifeMs);
  }

  /** When it will be trusted again if nothing else happens: milliseconds from now, 0 when it is. */
  reuseInMs(nowMs: number): number {
    if (!this.isSuppressed(nowMs)) return 0;
    return this.#options.halfLifeMs * Math.log2(this.penalty(nowMs) / this.#options.reuseAt);
  }

  /** Forgets all of it, by an operator's order. */
  clear(): void {
    this.#penalty = 0;
    this.#suppressed = false;
  }
}
