/**
 * Whether one endpoint is healthy, from the results of its checks: a state machine on values, without timers. A new endpoint
 * is `checking` until one check passes; after that it takes several in a row to change the verdict.
 */

export type HealthStatus = "checking" | "healthy" | "unhealthy";

export interface CheckResult {
  readonly passed: boolean;
  /** Why it failed; "" when it passed. */
  readonly reason: string;
  readonly latencyMs: number;
  readonly atMs: number;
}

export interface Thresholds {
  readonly unhealthyAfter: number;
  readonly healthyAfter: number;
}

/** Results that are kept to answer "why is it down". */
const HISTORY = 20;

export class HealthState {
  status: HealthStatus = "checking";
  /** Why it is in this state. */
  reason = "not checked yet";
  sinceMs: number;
  readonly history: CheckResult[] = [];
  #streak = 0;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  /** Takes a result in. True when the status changed. */
  record(result: CheckResult, thresholds: Thresholds): boolean {
    this.history.push(result);
    if (this.history.length > HISTORY) this.history.shift();
    const agrees = result.passed ? this.status === "healthy" : this.status === "unhealthy";
    if (agrees) {
      this.#streak = 0;
      return false;
    }
    this.#streak++;
    const needed = result.passed
      ? this.status === "checking"
        ? 1
        : thresholds.healthyAfter
      : thresholds.unhealthyAfter;
    if (this.status === "checking" && !result.passed) this.reason = result.reason;
    if (this.#streak < needed) return false;
    this.reason = result.passed
      ? this.status === "checking"
        ? "first check passed"
        : `${checks(this.#streak)} passed`
      : `${checks(this.#streak)} failed: ${result.reason}`;
    this.status = result.passed ? "healthy" : "unhealthy";
    this.sinceMs = result.atMs;
    this.#streak = 0;
    return true;
  }

  /** New, or with results that contradict the status: worth looking again soon. */
  get inTransition(): boolean {
    return this.status === "checking" || this.#streak > 0;
  }
}

function checks(count: number): string {
  return count === 1 ? "1 check" : `${count} checks`;
}
