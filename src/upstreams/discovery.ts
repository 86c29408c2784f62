/**
 * Turns the endpoints of a pool as written into addresses, and keeps them current: names are resolved again when their
 * records expire. A name that cannot be resolved keeps the addresses it had, and is tried again, more and more slowly.
 */
import { formatAddress, parseAddress } from "../base/address.ts";
import type { Timer, Timers } from "../base/clock.ts";
import { parseIp } from "../base/ip.ts";
import type { AdminState } from "./admin-state.ts";
import type { EndpointConfig } from "./schema.ts";

export interface Resolver {
  addresses(name: string): Promise<{ addresses: readonly string[]; ttlSeconds: number }>;
  services(name: string): Promise<{ services: readonly ServiceRecord[]; ttlSeconds: number }>;
}

export interface ServiceRecord {
  readonly host: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** An endpoint with its address, not yet known to the workers. */
export interface ResolvedEndpoint {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** As it was before it was resolved. */
  readonly name: string;
  readonly weight: number;
  readonly tier: number;
  readonly maxConnections: number;
  readonly state: AdminState;
}

export interface DiscoveryOptions {
  readonly resolver: Resolver;
  readonly timers: Timers;
  readonly onEndpoints: (pool: string, endpoints: readonly ResolvedEndpoint[]) => void;
  readonly onWarning: (message: string, fields: Readonly<Record<string, string>>) => void;
}

const MIN_REFRESH_MS = 1_000;
const MAX_REFRESH_MS = 300_000;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;
const MAX_ADDRESSES = 256;

/** One entry of a pool's list: what it has come to so far. */
interface Source {
  readonly config: EndpointConfig;
  endpoints: readonly ResolvedEndpoint[];
  /** Has been answered or has failed once. */
  settled: boolean;
  retryMs: number;
  timer: Timer | undefined;
}

interface WatchedPool {
  readonly name: string;
  readonly configText: string;
  readonly sources: Source[];
  closed: boolean;
}

export class Discovery {
  readonly #options: DiscoveryOptions;
  readonly #pools = new Map<string, WatchedPool>();
  #settledWaiters: (() => void)[] = [];

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  /** Endpoints known now; empty while nothing has been resolved. */
  endpoints(pool: string): readonly ResolvedEndpoint[] {
    return unique(this.#pools.get(pool)?.sources.flatMap((source) => source.endpoints) ?? []);
  }

  setPool(name: string, configs: readonly EndpointConfig[]): void {
    const configText = JSON.stringify(configs);
    const before = this.#pools.get(name);
    if (before?.configText === configText) return;
    if (before !== undefined) this.#close(before);
    const sources = configs.map((config): Source => {
      const fixed = fixedEndpoint(config);
      return {
        config,
        endpoints: fixed === undefined ? [] : [fixed],
        settled: fixed !== undefined,
        retryMs: FIRST_RETRY_MS,
        timer: undefined,
      };
    });
    const pool: WatchedPool = { name, configText, sources, closed: false };
    this.#pools.set(name, pool);
    for (const source of sources) if (!source.settled) void this.#resolve(pool, source);
  }

  removePool(name: string): void {
    const pool = this.#pools.get(name);
    if (pool !== undefined) this.#close(pool);
    this.#pools.delete(name);
  }

  /** Resolves when every name has been answered or has failed once, or after `timeoutMs`. */
  whenSettled(timeoutMs: number): Promise<void> {
    if (this.#isSettled()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#options.timers.after(timeoutMs, resolve);
      this.#settledWaiters.push(() => {
        timer.stop();
        resolve();
      });
    });
  }

  close(): void {
    for (const name of [...this.#pools.keys()]) this.removePool(name);
  }

  #isSettled(): boolean {
    return [...this.#pools.values()].every((pool) => pool.sources.every((source) => source.settled));
  }

  #close(pool: WatchedPool): void {
    pool.closed = true;
    for (const source of pool.sources) source.timer?.stop();
  }

  async #resolve(pool: WatchedPool, source: Source): Promise<void> {
    source.timer = undefined;
    let nextMs: number;
    try {
      const { endpoints, ttlSeconds } = await this.#lookUp(source.config);
      if (pool.closed) return;
      if (endpoints.length === 0) throw new Error("no addresses");
      source.retryMs = FIRST_RETRY_MS;
      nextMs = Math.min(MAX_REFRESH_MS, Math.max(MIN_REFRESH_MS, ttlSeconds * 1_000));
      const changed = JSON.stringify(endpoints) !== JSON.stringify(source.endpoints);
      source.endpoints = endpoints;
      source.settled = true;
      if (changed) this.#options.onEndpoints(pool.name, this.endpoints(pool.name));
    } catch (error) {
      if (pool.closed) return;
      source.settled = true;
      nextMs = source.retryMs;
      source.retryMs = Math.min(MAX_RETRY_MS, source.retryMs * 2);
      const kept = source.endpoints.length === 0 ? "none yet" : `${source.endpoints.length} kept from before`;
      const name = source.config.srv ?? source.config.address ?? "";
      this.#options.onWarning("cannot resolve an endpoint's name", {
        pool: pool.name,
        name,
        reason: (error as Error).message,
        addresses: kept,
      });
    }
    source.timer = this.#options.timers.after(nextMs, () => void this.#resolve(pool, source));
    if (this.#isSettled()) for (const waiter of this.#settledWaiters.splice(0)) waiter();
  }

  async #lookUp(config: EndpointConfig): Promise<{ endpoints: ResolvedEndpoint[]; ttlSeconds: number }> {
    const { resolver } = this.#options;
    if (config.srv === undefined) {
      const { host, port } = parseAddress(config.address ?? "") ?? { host: "", port: 0 };
      const { addresses, ttlSeconds } = await resolver.addresses(host);
      return {
        endpoints: sorted(addresses).map((address) =>
          endpointAt(address, port, host, config, config.weight, config.tier),
        ),
        ttlSeconds,
      };
    }
    const { services, ttlSeconds } = await resolver.services(config.srv);
    const priorities = [...new Set(services.map(({ priority }) => priority))].sort((a, b) => a - b);
    let shortest = ttlSeconds;
    const lists = await Promise.all(
      services.slice(0, MAX_ADDRESSES).map(async ({ host, port, priority, weight }) => {
        const found = parseIp(host) === undefined ? await resolver.addresses(host) : { addresses: [host], ttlSeconds };
        shortest = Math.min(shortest, found.ttlSeconds);
        // RFC 2782: a weight of 0 still takes its turn when there is nothing else.
        return found.addresses.map((address) =>
          endpointAt(
            address,
            port,
            host,
            config,
            Math.min(1_000, Math.max(1, weight)),
            config.tier + priorities.indexOf(priority),
          ),
        );
      }),
    );
    return { endpoints: unique(lists.flat()).sort((a, b) => (a.id < b.id ? -1 : 1)), ttlSeconds: shortest };
  }
}

/** Undefined when its address has to be looked up. */
export function fixedEndpoint(config: EndpointConfig): ResolvedEndpoint | undefined {
  const address = config.address === undefined ? undefined : parseAddress(config.address);
  if (address === undefined || parseIp(address.host) === undefined) return undefined;
  return endpointAt(address.host, address.port, address.host, config, config.weight, config.tier);
}

function endpointAt(
  host: string,
  port: number,
  name: string,
  config: EndpointConfig,
  weight: number,
  tier: number,
): ResolvedEndpoint {
  const { maxConnections, state } = config;
  return { id: formatAddress({ host, port }), host, port, name, weight, tier, maxConnections, state };
}

/** In a fixed order, whatever order the name server gives: a turn of the order is not a change. */
function sorted(addresses: readonly string[]): string[] {
  return [...addresses].sort().slice(0, MAX_ADDRESSES);
}

function unique(endpoints: readonly ResolvedEndpoint[]): ResolvedEndpoint[] {
  return [...new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])).values()];
}
