/** Watches how attempts on one endpoint end, where a pool wants that: for outlier detection, and for the endpoint's circuit. */
import { type Admission, type CircuitBreaker, PASSED } from "../resilience/circuit-breaker.ts";
import type { Outcome } from "../resilience/outcome.ts";
import type { OutlierResults } from "../resilience/outlier-counters.ts";

/** Where results are counted for outlier detection. */
type Results = Pick<OutlierResults, "record">;

export class EndpointGuard {
  /** Undefined when endpoints have no circuits. */
  readonly breaker: CircuitBreaker | undefined;
  readonly #results: Results | undefined;
  readonly #row: number;
  readonly #sharedOffsetMs: number;

  /** `sharedOffsetMs` makes times of this process' clock those that all processes agree on. */
  constructor(row: number, results: Results | undefined, breaker: CircuitBreaker | undefined, sharedOffsetMs: number) {
    this.#row = row;
    this.#results = results;
    this.breaker = breaker;
    this.#sharedOffsetMs = sharedOffsetMs;
  }

  /** REFUSED while the circuit is open. What was not refused must be given to `ended` or `cancelled`. */
  admit(nowMs: number): Admission {
    return this.breaker === undefined ? PASSED : this.breaker.admit(nowMs + this.#sharedOffsetMs);
  }

  /** Its circuit is open, and will be for a while. */
  isOpen(nowMs: number): boolean {
    return this.breaker !== undefined && this.breaker.opensInMs(nowMs + this.#sharedOffsetMs) > 0;
  }

  /** `latencyMs` is the time to the first byte of the answer; where only connections are seen, to the connection. */
  ended(admission: Admission, outcome: Outcome, latencyMs: number, nowMs: number): void {
    this.#results?.record(this.#row, outcome, latencyMs);
    this.breaker?.record(admission, outcome !== "success", latencyMs, nowMs + this.#sharedOffsetMs);
  }

  /** The attempt was not made, or its end says nothing of the endpoint. */
  cancelled(admission: Admission): void {
    this.breaker?.cancel(admission);
  }
}
