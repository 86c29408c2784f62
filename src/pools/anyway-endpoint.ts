import type { SubsetEndpoint } from "../balancing/subset-balancer.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";

const KNOWN = new WeakMap<Endpoint, AnywayEndpoint>();

/** An endpoint as it is balanced over in panic: whatever checks and ejections say of it, but not what operators say. */
export class AnywayEndpoint implements SubsetEndpoint {
  readonly id: string;
  readonly endpoint: Endpoint;

  private constructor(endpoint: Endpoint) {
    this.id = endpoint.id;
    this.endpoint = endpoint;
  }

  /** Always the same one for the same endpoint. */
  static of(endpoint: Endpoint): AnywayEndpoint {
    const known = KNOWN.get(endpoint) ?? new AnywayEndpoint(endpoint);
    KNOWN.set(endpoint, known);
    return known;
  }

  get weight(): number {
    return this.endpoint.weight;
  }

  get active(): number {
    return this.endpoint.active;
  }

  get eligible(): boolean {
    return this.endpoint.mayBeTried;
  }

  get available(): boolean {
    return this.endpoint.mayBeTried;
  }
}
