/** Whether a request's body arrives fast enough, not counting the time in which we did not want more of it. */

/** A slow body is not held against a client before this. */
const GRACE_MS = 10_000;

export class BodyPace {
  #startedMs = 0;
  #pausedMs = 0;
  #pausedAtMs = 0;

  begin(nowMs: number): void {
    this.#startedMs = nowMs;
    this.#pausedMs = 0;
  }

  pause(nowMs: number): void {
    this.#pausedAtMs = nowMs;
  }

  resume(nowMs: number): void {
    this.#pausedMs += nowMs - this.#pausedAtMs;
  }

  /** `leastRate` in bytes per second; 0 for none. */
  isTooSlow(receivedBytes: number, leastRate: number, nowMs: number): boolean {
    const elapsedMs = nowMs - this.#startedMs - this.#pausedMs;
    return leastRate > 0 && elapsedMs > GRACE_MS && receivedBytes * 1_000 < leastRate * elapsedMs;
  }
}
