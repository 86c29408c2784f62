/** Sessions in a real Redis: shared by two balancers, and what happens when it is stopped, paused, restarted, or a cluster. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { stopAll, use } from "../support/exchange-fixture.ts";
import { endAll, eventually, freePort } from "../support/process.ts";
import { hasRedis, RedisServer, startRedisCluster } from "../support/redis.ts";
import { APPS, ask, fallbacks, homesAt, serve, startApps, untilShared, users } from "../support/redis-sessions.ts";

setDefaultTimeout(60_000);
afterEach(async () => {
  await stopAll();
  await endAll();
});

async function stored(server: RedisServer): Promise<number> {
  return Number(await server.command("DBSIZE"));
}

if (!hasRedis()) console.log("skipped: sessions in Redis: redis-server is not installed");
else
  describe("a Redis server", () => {
    const start = async (): Promise<RedisServer> => new RedisServer(await freePort()).start();

    test("two balancers agree on every session", async () => {
      const redis = await start();
      const endpoints = startApps();
      const [first, second] = [serve(endpoints, redis.url), serve(endpoints, redis.url)];
      await untilShared(first);
      await untilShared(second);
      const homes = await homesAt(first);
      expect(new Set(homes).size).toBe(APPS);
      expect(await homesAt(second)).toEqual(homes);
      expect(await stored(redis)).toBe(users.length + 1);
      const [key = ""] = (await redis.command("KEYS", "evenkeel:session:*")).split("\n");
      expect(key).toMatch(/^evenkeel:session:\{[0-9a-f]{2}\}[0-9a-f]{30}$/);
      expect(Number(await redis.command("PTTL", key))).toBeGreaterThan(1_700_000);
    });

    test("stopped: everybody stays where they were, and new ones are served; back and empty: it is filled again", async () => {
      const redis = await start();
      const told = serve(startApps(), redis.url);
      await untilShared(told);
      const homes = await homesAt(told);
      await redis.stop();
      expect(await homesAt(told)).toEqual(homes);
      expect(fallbacks(told)).toBeGreaterThan(users.length / 2);
      expect(told.lines).toContain("redis does not answer: sessions are kept here until it does");
      const newcomer = await ask(told, "new while it is down");
      await redis.start();
      await untilShared(told);
      expect(told.lines).toContain("redis answers again: sessions are shared");
      expect(await homesAt(told)).toEqual(homes);
      expect(await ask(told, "new while it is down")).toBe(newcomer);
      expect(await stored(redis)).toBeGreaterThanOrEqual(users.length + 1);
    });

    test("paused: requests wait for it a few times at most, then not at all, and none fails", async () => {
      const redis = await start();
      const told = serve(startApps(), redis.url, "100ms");
      await untilShared(told);
      const homes = await homesAt(told);
      redis.pause();
      expect(await homesAt(told)).toEqual(homes);
      expect(told.lines).toContain("redis does not answer: sessions are kept here until it does");
      const together = await Promise.all(Array.from({ length: 5 }, () => homesAt(told)));
      for (const again of together) expect(again).toEqual(homes);
      redis.resume();
      await untilShared(told);
      expect(await homesAt(told)).toEqual(homes);
      expect(told.balancer.inFlight()).toBe(0);
    });

    test("never there: nothing but the sharing is missing", async () => {
      const told = serve(startApps(), `redis://127.0.0.1:${await freePort()}`);
      const homes = await homesAt(told);
      expect(new Set(homes).size).toBe(APPS);
      expect(await homesAt(told)).toEqual(homes);
    });

    test("what it holds that is none of ours counts as no answer", async () => {
      const redis = await start();
      const told = serve(startApps(), redis.url);
      await untilShared(told);
      const home = await ask(told, "ann");
      for (const key of (await redis.command("KEYS", "*")).trim().split("\n"))
        await redis.command("SET", key, "rubbish");
      expect(await ask(told, "ann")).toBe(home);
    });

    test("a server with no memory left is one that does not answer", async () => {
      const redis = await start();
      const told = serve(startApps(), redis.url);
      await untilShared(told);
      await redis.command("CONFIG", "SET", "maxmemory", "1");
      const homes = await homesAt(told);
      expect(await homesAt(told)).toEqual(homes);
    });

    test("a client that leaves while its session is looked up leaves nothing behind", async () => {
      const redis = await start();
      const told = serve(startApps(), redis.url);
      await untilShared(told);
      redis.pause();
      const leaving = new AbortController();
      const asked = fetch(`http://127.0.0.1:${told.balancer.port}/`, {
        headers: { "X-User": "ann" },
        signal: leaving.signal,
      }).catch((error: Error) => error.name);
      await eventually(() => told.balancer.openConnections() > 0, "a connection");
      leaving.abort();
      expect(await asked).toBe("AbortError");
      await eventually(() => told.balancer.openConnections() === 0, "no connection");
      redis.resume();
      await untilShared(told);
      expect(told.balancer.inFlight()).toBe(0);
    });

    test("a body that comes while its session is looked up arrives whole", async () => {
      const redis = await start();
      const server = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch: async (request) => new Response(await request.text()),
      });
      use({ stop: () => server.stop(true) });
      const told = serve([`127.0.0.1:${server.port}`], redis.url);
      const body = "x".repeat(1_000_000);
      for (let round = 0; round < 3; round++) {
        const headers = { "X-User": "ann" };
        const response = await fetch(`http://127.0.0.1:${told.balancer.port}/`, { method: "POST", headers, body });
        expect((await response.text()) === body).toBeTrue();
      }
    });

    test("a cluster: every session is found, through whichever node; one that is gone costs its part of the sharing", async () => {
      const cluster = await startRedisCluster();
      const endpoints = startApps();
      const urls = cluster.map(({ url }) => url);
      const first = serve(endpoints, urls[0] as string);
      const second = serve(endpoints, urls.slice(1));
      await untilShared(first);
      await untilShared(second);
      const homes = await homesAt(first);
      expect(await homesAt(second)).toEqual(homes);
      const sizes = await Promise.all(cluster.map(stored));
      for (const size of sizes) expect(size).toBeGreaterThan(0);
      expect(sizes.reduce((sum, size) => sum + size)).toBe(users.length + 1);
      await cluster[2]?.stop();
      expect(await homesAt(first)).toEqual(homes);
      expect(await homesAt(second)).toEqual(homes);
      expect(first.balancer.inFlight()).toBe(0);
    });
  });
