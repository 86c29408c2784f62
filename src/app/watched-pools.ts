/** What the supervisor looks at regularly, by pool: a timer runs only while there is something to look at. */
import type { Timer, Timers } from "../base/clock.ts";

const TICK_MS = 250;

export class WatchedPools<Watched> extends Map<string, Watched> {
  readonly #timers: Timers;
  readonly #look: () => void;
  readonly #isWatched: (watched: Watched) => boolean;
  #timer: Timer | undefined;

  /** Calls `look` four times a second while a pool `isWatched`. */
  constructor(timers: Timers, look: () => void, isWatched: (watched: Watched) => boolean = () => true) {
    super();
    this.#timers = timers;
    this.#look = look;
    this.#isWatched = isWatched;
  }

  /** Sets a pool anew, or forgets it. */
  put(pool: string, watched: Watched | undefined): void {
    if (watched === undefined) this.delete(pool);
    else this.set(pool, watched);
    this.#keepTime();
  }

  /** Forgets pools that the configuration does not have any more. */
  keepOnly(pools: readonly string[]): void {
    for (const pool of this.keys()) if (!pools.includes(pool)) this.delete(pool);
    this.#keepTime();
  }

  close(): void {
    this.clear();
    this.#keepTime();
  }

  #keepTime(): void {
    if ([...this.values()].some(this.#isWatched)) this.#timer ??= this.#timers.every(TICK_MS, this.#look);
    else {
      this.#timer?.stop();
      this.#timer = undefined;
    }
  }
}
