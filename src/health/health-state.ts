/**
 * Whether one endpoint is healthy, from the results of its checks: a state machine on values, without timers. A new endpoint
 * is `checking` until one check passes; after that it takes several in a row to change the verdict. An endpoint that passes
 * and says of itself that it is degraded is believed at once, both ways.
 */

export type HealthStatus = "checking" | "healthy" | "degraded" | "unhealthy";

export interface CheckResult {
  readonly passed: boolean;
  /** It passed, but the endpoint is to be spared. */
  readonly degraded?: boolean;
  /** Why it failed or is degraded, or what its agent said; else "". */
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
    const verdict = !result.passed ? "unhealthy" : result.degraded === true ? "degraded" : "healthy";
    const agrees = result.passed ? this.isUp : this.status === "unhealthy";
    if (agrees) {
      this.#streak = 0;
      if (verdict === this.status) return false;
      this.#become(verdict, verdict === "degraded" ? result.reason : "degraded no longer", result.atMs);
      return true;
    }
    this.#streak++;
    const needed = result.passed
      ? this.status === "checking"
        ? 1
        : thresholds.healthyAfter
      : thresholds.unhealthyAfter;
    if (this.status === "checking" && !result.passed) this.reason = result.reason;
    if (this.#streak < needed) return false;
    const passed = this.status === "checking" ? "first check passed" : `${checks(this.#streak)} passed`;
    const reason = {
      healthy: passed,
      degraded: result.reason,
      unhealthy: `${checks(this.#streak)} failed: ${result.reason}`,
    };
    this.#become(verdict, reason[verdict], result.atMs);
    this.#streak = 0;
    return true;
  }

  get isUp(): boolean {
    return this.status === "healthy" || this.status === "degraded";
  }

  /** New, or with results that contradict the status: worth looking again soon. */
  get inTransition(): boolean {
    return this.status === "checking" || this.#streak > 0;
  }

  #become(status: HealthStatus, reason: string, atMs: number): void {
    this.status = status;
    this.reason = reason;
    this.sinceMs = atMs;
  }
}

function checks(count: number): string {
  return count === 1 ? "1 check" : `${count} checks`;
}
