/**
 * Balances over the subset of one client, and over more while too few of it are available: over twice as many, and again,
 * until as many as half a subset can be used. What nobody of those can take goes to any of all: a subset spares
 * connections, it never refuses a request.
 */
import type { Clock } from "../base/clock.ts";
import type { BalancedEndpoint, Balancer } from "./definition.ts";
import { inOrderOfSubset, type SubsetClient, subsetSize } from "./subset.ts";

/** Health changes seldom; asking every member for every request would cost more than being this late. */
const KEEP_MS = 100;

export interface SubsetEndpoint extends BalancedEndpoint {
  /** As `eligible`, with all of its connections taken or not. */
  readonly available: boolean;
}

export interface SubsetOptions<E extends SubsetEndpoint> {
  readonly size: number;
  readonly client: SubsetClient;
  readonly clock: Clock;
  readonly build: (members: readonly E[]) => Balancer<E>;
}

export function balanceSubset<E extends SubsetEndpoint>(
  endpoints: readonly E[],
  options: SubsetOptions<E>,
): Balancer<E> {
  const subset = new Subset(endpoints, options);
  const balancer: Balancer<E> = {
    pick: (key, tried) => subset.pick(key, tried),
    onWeightChanged: (endpoint) => {
      for (const built of subset.built) built.onWeightChanged?.(endpoint);
    },
  };
  if (!subset.learns) return balancer;
  balancer.onRelease = (endpoint, latencyMs, failed) => {
    for (const built of subset.built) built.onRelease?.(endpoint, latencyMs, failed);
  };
  return balancer;
}

class Subset<E extends SubsetEndpoint> {
  readonly #endpoints: readonly E[];
  readonly #order: readonly E[];
  readonly #size: number;
  readonly #clock: Clock;
  readonly #build: (members: readonly E[]) => Balancer<E>;
  /** By how many endpoints they reach; each twice as far as the one before. */
  readonly #balancers = new Map<number, Balancer<E>>();
  #current: Balancer<E>;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(endpoints: readonly E[], { size, client, clock, build }: SubsetOptions<E>) {
    this.#endpoints = endpoints;
    this.#order = inOrderOfSubset(endpoints, client);
    this.#size = subsetSize(endpoints.length, size, client);
    this.#clock = clock;
    this.#build = build;
    this.#current = this.#reaching(this.#size);
  }

  get built(): Iterable<Balancer<E>> {
    return this.#balancers.values();
  }

  /** Its algorithm wants to know how attempts end. */
  get learns(): boolean {
    return this.#current.onRelease !== undefined;
  }

  pick(key: number, tried: readonly E[] | undefined): E | undefined {
    const nowMs = this.#clock.now();
    if (nowMs - this.#lookedMs >= KEEP_MS) {
      this.#lookedMs = nowMs;
      this.#current = this.#reaching(this.#reach());
    }
    const picked = this.#current.pick(key, tried);
    if (picked !== undefined || this.#size === this.#order.length) return picked;
    return this.#reaching(this.#order.length).pick(key, tried);
  }

  #reach(): number {
    const enough = Math.ceil(this.#size / 2);
    let reach = this.#size;
    let available = 0;
    for (let index = 0; ; index++) {
      if (index === reach) {
        if (reach === this.#order.length) return reach;
        reach = Math.min(this.#order.length, reach * 2);
      }
      const { available: isAvailable, weight } = this.#order[index] as E;
      if (isAvailable && weight > 0 && ++available === enough) return reach;
    }
  }

  #reaching(reach: number): Balancer<E> {
    const known = this.#balancers.get(reach);
    if (known !== undefined) return known;
    const members = new Set(this.#order.slice(0, reach));
    // In the order of the pool, which is that of the algorithms that have one.
    const balancer = this.#build(this.#endpoints.filter((endpoint) => members.has(endpoint)));
    this.#balancers.set(reach, balancer);
    return balancer;
  }
}
