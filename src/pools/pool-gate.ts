/** What a pool lets in: its own circuit, and how many requests it may have at one time. Only pools that set one have a gate. */
import type { ErrorCode } from "../base/errors.ts";
import type { AdaptiveConcurrency } from "../resilience/adaptive-concurrency.ts";
import { type Admission, type CircuitBreaker, PASSED, REFUSED } from "../resilience/circuit-breaker.ts";
import type { ConcurrencyLimits } from "../resilience/concurrency-limits.ts";

export interface PoolGateOptions {
  readonly limits: ConcurrencyLimits | undefined;
  readonly breaker: CircuitBreaker | undefined;
  readonly adaptive: AdaptiveConcurrency | undefined;
  readonly fingerprint: string;
  /** Makes times of this process' clock those that all processes agree on; milliseconds. */
  readonly sharedOffsetMs: number;
}

export class PoolGate {
  readonly limits: ConcurrencyLimits | undefined;
  readonly breaker: CircuitBreaker | undefined;
  readonly adaptive: AdaptiveConcurrency | undefined;
  /** Differs when it would be made differently. */
  readonly fingerprint: string;
  readonly #sharedOffsetMs: number;

  constructor(options: PoolGateOptions) {
    this.limits = options.limits;
    this.breaker = options.breaker;
    this.adaptive = options.adaptive;
    this.fingerprint = options.fingerprint;
    this.#sharedOffsetMs = options.sharedOffsetMs;
  }

  /** Lets an exchange in, or says why not. */
  enter(nowMs: number): GateTicket | ErrorCode {
    if (this.limits?.tryAcquire("active") === false) return "E_POOL_FULL";
    const admission = this.breaker?.admit(nowMs + this.#sharedOffsetMs) ?? PASSED;
    if (admission === REFUSED) {
      this.limits?.release("active");
      return "E_CIRCUIT_OPEN";
    }
    if (this.adaptive?.tryAcquire() !== false) return new GateTicket(this, admission);
    this.breaker?.cancel(admission);
    this.limits?.release("active");
    return "E_POOL_OVERLOADED";
  }

  /** Called by the ticket alone, as are the others. */
  judge(admission: Admission, failed: boolean, latencyMs: number, nowMs: number): void {
    this.breaker?.record(admission, failed, latencyMs, nowMs + this.#sharedOffsetMs);
    this.adaptive?.release(latencyMs, nowMs);
  }

  cancel(admission: Admission): void {
    this.breaker?.cancel(admission);
    this.adaptive?.cancel();
  }

  leave(): void {
    this.limits?.release("active");
  }
}

/** What an exchange that was let in holds. Given back once. */
export class GateTicket {
  readonly #gate: PoolGate;
  readonly #admission: Admission;
  #judged = false;

  constructor(gate: PoolGate, admission: Admission) {
    this.#gate = gate;
    this.#admission = admission;
  }

  /** How the pool did. Where this is not said before it is given back, its end says nothing of the pool. Once. */
  judge(failed: boolean, latencyMs: number, nowMs: number): void {
    this.#judged = true;
    this.#gate.judge(this.#admission, failed, latencyMs, nowMs);
  }

  giveBack(): void {
    if (!this.#judged) this.#gate.cancel(this.#admission);
    this.#gate.leave();
  }
}
