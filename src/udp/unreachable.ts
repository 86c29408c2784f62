/** Endpoints that were found not to be there a moment ago: new flows go elsewhere if they can. Health checks decide the rest. */

/** By then, health checks have come to a verdict of their own. */
const AVOID_MS = 5_000;

export class Unreachable<Endpoint> {
  readonly #until = new Map<Endpoint, number>();
  #list: readonly Endpoint[] | undefined;
  #earliest = Number.POSITIVE_INFINITY;

  mark(endpoint: Endpoint, nowMs: number): void {
    this.#until.set(endpoint, nowMs + AVOID_MS);
    this.#rebuild();
  }

  /** It answers: whatever was known is out of date. */
  clear(endpoint: Endpoint): void {
    if (this.#list === undefined || !this.#until.delete(endpoint)) return;
    this.#rebuild();
  }

  /** Undefined when there is none. */
  list(nowMs: number): readonly Endpoint[] | undefined {
    if (nowMs < this.#earliest) return this.#list;
    for (const [endpoint, until] of this.#until) if (until <= nowMs) this.#until.delete(endpoint);
    this.#rebuild();
    return this.#list;
  }

  #rebuild(): void {
    this.#list = this.#until.size === 0 ? undefined : [...this.#until.keys()];
    this.#earliest = Math.min(Number.POSITIVE_INFINITY, ...this.#until.values());
  }
}
