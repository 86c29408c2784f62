/** The sessions of pools, and the connections to the stores that they share with other balancers. */
import type { Clock, Timers } from "../base/clock.ts";
import type { Log } from "../observability/log.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { connectRedis } from "../redis/connect.ts";
import { RedisClient } from "../redis/redis-client.ts";
import type { RedisConfig } from "../redis/schema.ts";
import { PoolSessions } from "../sessions/pool-sessions.ts";
import { RedisStore } from "../sessions/redis-store.ts";
import type { SessionsConfig } from "../sessions/schema.ts";
import type { SessionTable } from "../sessions/session-table.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";

export interface SessionsBuilderOptions {
  readonly sessions: SessionTable;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

export class SessionsBuilder {
  readonly #options: SessionsBuilderOptions;
  /** By settings: a reload that changes nothing about one keeps its connections. */
  readonly #stores = new Map<string, RedisStore>();

  constructor(options: SessionsBuilderOptions) {
    this.#options = options;
  }

  build(pool: string, config: SessionsConfig | undefined): PoolSessions<Endpoint> | undefined {
    if (config === undefined) return undefined;
    const { sessions: table, clock } = this.#options;
    const store = config.redis === undefined ? undefined : this.#storeFor(config.redis);
    return new PoolSessions(config, { pool, table, store, clock });
  }

  /** Closes the stores that none of these pools uses. */
  closeUnused(pools: readonly PoolConfig[]): void {
    const used = new Set(pools.map(({ sessions }) => JSON.stringify(sessions?.redis)));
    for (const [settings, store] of this.#stores) {
      if (used.has(settings)) continue;
      this.#stores.delete(settings);
      store.close();
    }
  }

  #storeFor(config: RedisConfig): RedisStore {
    const settings = JSON.stringify(config);
    const known = this.#stores.get(settings);
    if (known !== undefined) return known;
    const { clock, timers, log } = this.#options;
    const onChange = (server: string, reachable: boolean, reason: string): void => {
      if (reachable) log.info("redis answers again: sessions are shared", { server });
      else log.warn("redis does not answer: sessions are kept here until it does", { server, reason });
    };
    const client = new RedisClient({ config, clock, timers, connect: connectRedis, onChange });
    const store = new RedisStore(client, config.prefix);
    this.#stores.set(settings, store);
    return store;
  }
}
