/** Watches endpoints that drain until nothing is in flight on them, or until their time is over. */
import type { Clock, Timer, Timers } from "../base/clock.ts";

const LOOK_MS = 100;

export interface DrainOptions {
  /** What is in flight on it now. */
  readonly inFlight: () => number;
  readonly timeoutMs: number;
  /** Nothing is in flight; told once. Sessions may still come back to it until the time is over. */
  readonly onIdle: () => void;
  /** The time is over, with this many in flight. */
  readonly onTimeout: (inFlight: number) => void;
}

interface Drain {
  readonly untilMs: number;
  timer: Timer | undefined;
}

export class Drains {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #drains = new Map<string, Drain>();

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  /** Begins, unless it has begun before. */
  begin(name: string, { inFlight, timeoutMs, onIdle, onTimeout }: DrainOptions): void {
    if (this.#drains.has(name)) return;
    const drain: Drain = { untilMs: this.#clock.now() + timeoutMs, timer: undefined };
    let wasIdle = false;
    this.#drains.set(name, drain);
    const look = (): void => {
      const left = inFlight();
      if (left === 0 && !wasIdle) {
        wasIdle = true;
        onIdle();
      }
      if (this.#clock.now() < drain.untilMs) return;
      drain.timer?.stop();
      drain.timer = undefined;
      onTimeout(left);
    };
    drain.timer = this.#timers.every(LOOK_MS, look);
  }

  /** It drains no longer: it is ready again, or gone. */
  end(name: string): void {
    this.#drains.get(name)?.timer?.stop();
    this.#drains.delete(name);
  }

  /** Milliseconds until its time is over, 0 when it is; undefined when it does not drain. */
  leftMs(name: string): number | undefined {
    const drain = this.#drains.get(name);
    return drain === undefined ? undefined : Math.max(0, drain.untilMs - this.#clock.now());
  }

  close(): void {
    for (const name of [...this.#drains.keys()]) this.end(name);
  }
}
