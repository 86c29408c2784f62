/** Which endpoints go up and down all the time, and for how long they are held back for it. */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import { formatDuration } from "../base/units.ts";
import { FlapDamping } from "../health/flap-damping.ts";
import { type FlapDampingConfig, flapDampingOptions } from "../health/flap-schema.ts";

/** With less than this left of its penalty, the next failure begins a new series. */
const FORGOTTEN = 0.1;

export interface Hold {
  readonly sinceMs: number;
  /** `held back: 4 failures within 2m; trusted again in about 40s`. */
  readonly reason: string;
}

interface Watched {
  readonly settings: string;
  readonly damping: FlapDamping;
  /** Of the present series of failures. */
  failures: number;
  firstMs: number;
  lastMs: number;
  /** Undefined while it is not held back. */
  heldSinceMs: number | undefined;
  timer: Timer | undefined;
}

export class FlapHolds {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #watched = new Map<string, Watched>();

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  /** It has gone down. True when it is held back from now on; `onTrusted` is called when that is over. */
  wentDown(name: string, config: Exclude<FlapDampingConfig, false>, onTrusted: () => void): boolean {
    const nowMs = this.#clock.now();
    const watched = this.#watched.get(name) ?? begin(config, nowMs);
    this.#watched.set(name, watched);
    const { damping } = watched;
    if (damping.penalty(nowMs) < FORGOTTEN) {
      watched.failures = 0;
      watched.firstMs = nowMs;
    }
    watched.failures++;
    watched.lastMs = nowMs;
    const isNew = damping.wentDown(nowMs);
    if (isNew) watched.heldSinceMs = nowMs;
    if (watched.heldSinceMs !== undefined) this.#wait(watched, onTrusted);
    return isNew;
  }

  isHeld(name: string): boolean {
    return this.#watched.get(name)?.heldSinceMs !== undefined;
  }

  hold(name: string): Hold | undefined {
    const watched = this.#watched.get(name);
    if (watched?.heldSinceMs === undefined) return undefined;
    const { failures, firstMs, lastMs, damping, heldSinceMs } = watched;
    const leftMs = Math.max(1_000, Math.round(damping.reuseInMs(this.#clock.now()) / 1_000) * 1_000);
    const within = formatDuration(lastMs - firstMs);
    const reason = `held back: ${failures} failures within ${within}; trusted again in about ${formatDuration(leftMs)}`;
    return { sinceMs: heldSinceMs, reason };
  }

  /** Forgets its failures. True when it was held back for them. */
  forget(name: string): boolean {
    const watched = this.#watched.get(name);
    watched?.timer?.stop();
    this.#watched.delete(name);
    return watched?.heldSinceMs !== undefined;
  }

  /** Forgets them when they were counted by other settings than these. True when it was held back. */
  forgetUnless(name: string, config: FlapDampingConfig): boolean {
    const watched = this.#watched.get(name);
    return watched !== undefined && watched.settings !== JSON.stringify(config) && this.forget(name);
  }

  close(): void {
    for (const name of [...this.#watched.keys()]) this.forget(name);
  }

  #wait(watched: Watched, onTrusted: () => void): void {
    watched.timer?.stop();
    // At that very moment it is exactly at the bound, and not yet below it.
    const ms = Math.floor(watched.damping.reuseInMs(this.#clock.now())) + 1;
    watched.timer = this.#timers.after(ms, () => {
      watched.timer = undefined;
      if (watched.damping.isSuppressed(this.#clock.now())) return this.#wait(watched, onTrusted);
      watched.heldSinceMs = undefined;
      onTrusted();
    });
  }
}

function begin(config: Exclude<FlapDampingConfig, false>, nowMs: number): Watched {
  return {
    settings: JSON.stringify(config),
    damping: new FlapDamping(flapDampingOptions(config), nowMs),
    failures: 0,
    firstMs: nowMs,
    lastMs: nowMs,
    heldSinceMs: undefined,
    timer: undefined,
  };
}
