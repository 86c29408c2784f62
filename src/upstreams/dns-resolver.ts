/** Asks the system's name servers, and the hosts file first (for `localhost` and its like). */
import { lookup, Resolver as NodeResolver } from "node:dns/promises";
import type { Resolver } from "./discovery.ts";

/** Answers of the hosts file have no lifetime of their own. */
const LOOKUP_TTL_SECONDS = 30;

export function createDnsResolver(servers?: readonly string[]): Resolver {
  const resolver = new NodeResolver({ timeout: 2_000, tries: 2 });
  if (servers !== undefined) resolver.setServers([...servers]);
  return {
    async addresses(name) {
      const [v4, v6] = await Promise.allSettled([
        resolver.resolve4(name, { ttl: true }),
        resolver.resolve6(name, { ttl: true }),
      ]);
      const found = [v4, v6].flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
      if (found.length > 0) {
        return { addresses: found.map(({ address }) => address), ttlSeconds: Math.min(...found.map(({ ttl }) => ttl)) };
      }
      if (servers !== undefined) throw v4.status === "rejected" ? v4.reason : new Error(`${name} has no addresses`);
      const local = await lookup(name, { all: true });
      return { addresses: local.map(({ address }) => address), ttlSeconds: LOOKUP_TTL_SECONDS };
    },
    async services(name) {
      const records = await resolver.resolveSrv(name);
      return {
        services: records.map(({ name: host, port, priority, weight }) => ({ host, port, priority, weight })),
        ttlSeconds: LOOKUP_TTL_SECONDS,
      };
    },
  };
}
