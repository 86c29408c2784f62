import type { RedisConnection } from "./redis-node.ts";

/** A connection that nobody waits for in vain: it queues nothing while it is not there, and does not come back by itself. */
export function connectRedis(url: string, timeoutMs: number): RedisConnection {
  return new Bun.RedisClient(url, {
    connectionTimeout: timeoutMs,
    autoReconnect: false,
    enableOfflineQueue: false,
  }) as RedisConnection;
}
