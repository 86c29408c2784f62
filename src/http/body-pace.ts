/** Whether a request's body comes at the least rate, not counting the time in which we did not want more of it. */

/** A slow body is not held against a client before this. */
const GRACE_MS = 10_000;
const NOT_PAUSED = -1;

export class BodyPace {
  readonly #startedMs: number;
  #pausedMs = 0;
  #pausedAtMs = NOT_PAUSED;

  constructor(nowMs: number) {
    this.#startedMs = nowMs;
  }

  pause(nowMs: number): void {
    if (this.#pausedAtMs === NOT_PAUSED) this.#pausedAtMs = nowMs;
  }

  resume(nowMs: number): void {
    if (this.#pausedAtMs === NOT_PAUSED) return;
    this.#pausedMs += nowMs - this.#pausedAtMs;
    this.#pausedAtMs = NOT_PAUSED;
  }

  /** `bytesPerSecond`: the least rate, 0 for none. */
  isTooSlow(received: number, bytesPerSecond: number, nowMs: number): boolean {
    const elapsedMs = nowMs - this.#startedMs - this.#pausedMs;
    return bytesPerSecond > 0 && elapsedMs > GRACE_MS && received * 1_000 < bytesPerSecond * elapsedMs;
  }
}
