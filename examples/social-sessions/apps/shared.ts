/** Visitors in Redis: every instance knows all of them, as long as Redis is there. */
import type { Visitor, Visitors } from "./visitors.ts";

const LIFETIME_S = "3600";

export function createShared(url: string): Visitors {
  const redis = new Bun.RedisClient(url, { connectionTimeout: 500, enableOfflineQueue: false, maxRetries: 1_000 });
  // A connection that fails here is tried again by the first request.
  redis.connect().catch(() => {});
  return {
    async find(session) {
      const text = await redis.get(`visitor:${session}`);
      return text === null ? undefined : (JSON.parse(text) as Visitor);
    },
    async keep(session, visitor) {
      await redis.send("SET", [`visitor:${session}`, JSON.stringify(visitor), "EX", LIFETIME_S]);
    },
  };
}
