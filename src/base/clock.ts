/** Where time comes from. Passed in everywhere, so that every time-based policy can be tested on a fake clock. */
import { readFileSync } from "node:fs";

export interface Clock {
  /** Monotonic milliseconds (fractional). Only differences mean anything. */
  now(): number;
  /** Milliseconds since the Unix epoch. For logs, certificates and cookies; may jump. */
  wallNow(): number;
}

/** A timer that can be stopped; stopping twice is harmless. */
export interface Timer {
  stop(): void;
}

export interface Timers {
  /** Calls `run` once after `delayMs`. */
  after(delayMs: number, run: () => void): Timer;
  /** Calls `run` every `intervalMs` until stopped. */
  every(intervalMs: number, run: () => void): Timer;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
};

export const systemTimers: Timers = {
  after(delayMs, run) {
    const handle = setTimeout(run, delayMs);
    return { stop: () => clearTimeout(handle) };
  },
  every(intervalMs, run) {
    const handle = setInterval(run, intervalMs);
    return { stop: () => clearInterval(handle) };
  },
};

/** Calls `run` once the runtime has dealt with the events that it has. */
export function afterEvents(run: () => void): void {
  setImmediate(run);
}

/**
 * Milliseconds to add to `clock.now()` for a time that all processes of this machine agree on, to within some ten of them:
 * each process' own begins when it does.
 */
export function sharedClockOffsetMs(clock: Clock): number {
  const [seconds] = readFileSync("/proc/uptime", "utf8").split(" ", 1);
  return Number(seconds) * 1_000 - clock.now();
}
