/** Endpoints as they are balanced over where the usual question, may it be picked, has another answer. */
import type { SubsetEndpoint } from "../balancing/subset-balancer.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";

abstract class StandIn implements SubsetEndpoint {
  readonly id: string;
  readonly endpoint: Endpoint;

  protected constructor(endpoint: Endpoint) {
    this.id = endpoint.id;
    this.endpoint = endpoint;
  }

  get weight(): number {
    return this.endpoint.weight;
  }

  get active(): number {
    return this.endpoint.active;
  }

  abstract get eligible(): boolean;

  get available(): boolean {
    return this.eligible;
  }
}

/** In panic: whatever checks and ejections say of it, but not what operators say. */
export class AnywayEndpoint extends StandIn {
  static readonly #known = new WeakMap<Endpoint, AnywayEndpoint>();

  /** Always the same one for the same endpoint. */
  static of(endpoint: Endpoint): AnywayEndpoint {
    const known = AnywayEndpoint.#known.get(endpoint) ?? new AnywayEndpoint(endpoint);
    AnywayEndpoint.#known.set(endpoint, known);
    return known;
  }

  override get eligible(): boolean {
    return this.endpoint.mayBeTried;
  }
}

/** After those that are healthy. */
export class DegradedEndpoint extends StandIn {
  static readonly #known = new WeakMap<Endpoint, DegradedEndpoint>();

  /** Always the same one for the same endpoint. */
  static of(endpoint: Endpoint): DegradedEndpoint {
    const known = DegradedEndpoint.#known.get(endpoint) ?? new DegradedEndpoint(endpoint);
    DegradedEndpoint.#known.set(endpoint, known);
    return known;
  }

  override get eligible(): boolean {
    return this.endpoint.eligibleDegraded;
  }
}
