/**
 * Whether a store may be asked: after several failures in a row it is left alone for a while, then one request tries it.
 * As long as that fails, the waits double, up to eight times the first.
 */
export type GateState = "open" | "closed" | "trying";

const MAX_DOUBLINGS = 3;

export class TrialGate {
  readonly #failuresAllowed: number;
  readonly #waitMs: number;
  #failures = 0;
  #doublings = 0;
  #tryAtMs = 0;
  #state: GateState = "open";

  constructor(failuresAllowed: number, waitMs: number) {
    this.#failuresAllowed = failuresAllowed;
    this.#waitMs = waitMs;
  }

  /** "open": requests go through. */
  get state(): GateState {
    return this.#state;
  }

  /** Whether the next request may go through; one that may must be followed by `succeeded` or `failed`. */
  mayTry(nowMs: number): boolean {
    if (this.#state === "open") return true;
    if (this.#state === "trying" || nowMs < this.#tryAtMs) return false;
    this.#state = "trying";
    return true;
  }

  /** True when this has opened the gate again. */
  succeeded(): boolean {
    const reopened = this.#state !== "open";
    this.#state = "open";
    this.#failures = 0;
    this.#doublings = 0;
    return reopened;
  }

  /** True when this has closed a gate that was open. */
  failed(nowMs: number): boolean {
    if (this.#state === "closed") return false;
    if (this.#state === "open" && ++this.#failures < this.#failuresAllowed) return false;
    const closed = this.#state === "open";
    this.#doublings = closed ? 0 : Math.min(MAX_DOUBLINGS, this.#doublings + 1);
    this.#state = "closed";
    this.#failures = 0;
    this.#tryAtMs = nowMs + this.#waitMs * 2 ** this.#doublings;
    return closed;
  }
}
