/**
 * Lets endpoints that are new or back warm up: their weight in the shared table grows step by step. Which endpoints these
 * are is decided by what they were before; those that a pool begins with have no others to spare them, and start in full.
 */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import { type SlowStartOptions, slowStartFactor } from "../resilience/slow-start.ts";

interface WarmUp {
  readonly sinceMs: number;
  timer: Timer | undefined;
}

const MIN_STEP_MS = 100;

export class SlowStarts {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #running = new Map<string, WarmUp>();

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  /** Begins anew. `onStep` is called at the start, after each of `steps`, and at the end. */
  begin(name: string, options: SlowStartOptions, steps: number, onStep: () => void): void {
    this.end(name);
    if (options.windowMs === 0) return onStep();
    const warmUp: WarmUp = { sinceMs: this.#clock.now(), timer: undefined };
    this.#running.set(name, warmUp);
    warmUp.timer = this.#timers.every(Math.max(MIN_STEP_MS, options.windowMs / steps), () => {
      if (slowStartFactor(this.ageMs(name), options) >= 1) this.end(name);
      onStep();
    });
    onStep();
  }

  /** It is down, out, or warm. */
  end(name: string): void {
    this.#running.get(name)?.timer?.stop();
    this.#running.delete(name);
  }

  /** How long it has been warming up; infinite for one that is warm. */
  ageMs(name: string): number {
    const warmUp = this.#running.get(name);
    return warmUp === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - warmUp.sinceMs;
  }

  close(): void {
    for (const name of [...this.#running.keys()]) this.end(name);
  }
}
