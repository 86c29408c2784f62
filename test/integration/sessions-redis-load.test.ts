/** Sessions in Redis while people use them: it is stopped, paused and started again, and the parts of a cluster move. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { stopAll } from "../support/exchange-fixture.ts";
import { endAll, eventually, freePort } from "../support/process.ts";
import { addReplica, hasRedis, RedisServer, startRedisCluster } from "../support/redis.ts";
import {
  ask,
  fallbacks,
  homesAt,
  serve,
  startApps,
  type Told,
  underLoad,
  untilShared,
  users,
} from "../support/redis-sessions.ts";

setDefaultTimeout(60_000);
afterEach(async () => {
  await stopAll();
  await endAll();
});

/** Two balancers, and where everybody is. */
async function startTwo(url: string | string[], timeout?: string): Promise<{ both: [Told, Told]; homes: string[] }> {
  const endpoints = startApps();
  const both: [Told, Told] = [serve(endpoints, url, timeout), serve(endpoints, url, timeout)];
  for (const told of both) await untilShared(told);
  const homes = await homesAt(both[0]);
  // The second one has them from the first by Redis, and from now on for itself.
  expect(await homesAt(both[1])).toEqual(homes);
  return { both, homes };
}

const allFallbacks = (both: readonly Told[]): number => both.reduce((sum, told) => sum + fallbacks(told), 0);

/** Until nobody has to do without Redis, whoever asks. */
async function untilAllShared(both: readonly Told[]): Promise<void> {
  await eventually(async () => {
    const before = allFallbacks(both);
    for (const told of both) await homesAt(told);
    return allFallbacks(both) === before;
  }, "all sessions to be shared again");
}

if (!hasRedis()) console.log("skipped: sessions in Redis: redis-server is not installed");
else {
  describe("two balancers under load, no request fails and nobody moves", () => {
    const start = async (): Promise<RedisServer> => new RedisServer(await freePort()).start();

    test("while Redis is stopped, and started again without its data", async () => {
      const redis = await start();
      const { both, homes } = await startTwo(redis.url);
      const requests = await underLoad(both, homes, async () => {
        await redis.stop();
        await Bun.sleep(300);
        await redis.start();
        await untilAllShared(both);
      });
      expect(requests).toBeGreaterThan(users.length);
      expect(allFallbacks(both)).toBeGreaterThan(0);
      expect(Number(await redis.command("DBSIZE"))).toBeGreaterThanOrEqual(users.length);
      for (const { balancer } of both) expect(balancer.inFlight()).toBe(0);
    });

    test("while Redis is paused, and goes on", async () => {
      const redis = await start();
      const { both, homes } = await startTwo(redis.url, "100ms");
      await underLoad(both, homes, async () => {
        for (let round = 0; round < 2; round++) {
          redis.pause();
          await Bun.sleep(500);
          redis.resume();
          await untilAllShared(both);
        }
      });
      expect(allFallbacks(both)).toBeGreaterThan(0);
      for (const { balancer } of both) expect(balancer.inFlight()).toBe(0);
    });

    test("those who come while Redis is away stay where they are at each balancer, and agree when it is back", async () => {
      const redis = await start();
      const { both } = await startTwo(redis.url);
      await redis.stop();
      const newcomers = Array.from({ length: 20 }, (_, index) => `newcomer-${index}`);
      const homesOf = async (told: Told): Promise<string[]> => {
        const homes: string[] = [];
        for (const user of newcomers) homes.push(await ask(told, user));
        return homes;
      };
      const apart = [await homesOf(both[0]), await homesOf(both[1])];
      expect([await homesOf(both[0]), await homesOf(both[1])]).toEqual(apart);
      await redis.start();
      for (const told of both) await untilShared(told);
      // Whoever is first to bring one back to Redis is right.
      const together = await homesOf(both[0]);
      expect(together).toEqual(apart[0] as string[]);
      expect(await homesOf(both[1])).toEqual(together);
    });
  });

  describe("a cluster under load, no request fails and nobody moves", () => {
    test("while a slot is on its way to another node, and after it (ASK, then MOVED)", async () => {
      const cluster = await startRedisCluster();
      const { both, homes } = await startTwo(cluster.map(({ url }) => url));
      const source = cluster[0] as RedisServer;
      const target = cluster[1] as RedisServer;
      const keys = (await source.command("KEYS", "evenkeel:session:*")).trim().split("\n");
      const slot = (await source.command("CLUSTER", "KEYSLOT", keys[0] as string)).trim();
      const idOf = async (node: RedisServer): Promise<string> => (await node.command("CLUSTER", "MYID")).trim();
      const [from, to] = [await idOf(source), await idOf(target)];
      const before = allFallbacks(both);
      await underLoad(both, homes, async () => {
        await target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", from);
        await source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", to);
        const inSlot = (await source.command("CLUSTER", "GETKEYSINSLOT", slot, "100")).trim().split("\n");
        expect(inSlot.length).toBeGreaterThan(0);
        await source.command("MIGRATE", "127.0.0.1", String(target.port), "", "0", "5000", "KEYS", ...inSlot);
        for (const told of both) await homesAt(told);
        // The new owner first, or the two would send everybody to each other for a moment.
        for (const node of [target, source, cluster[2] as RedisServer])
          await node.command("CLUSTER", "SETSLOT", slot, "NODE", to);
        for (const told of both) await homesAt(told);
        expect(Number(await target.command("CLUSTER", "COUNTKEYSINSLOT", slot))).toBeGreaterThan(0);
        expect(Number(await source.command("CLUSTER", "COUNTKEYSINSLOT", slot))).toBe(0);
      });
      expect(allFallbacks(both)).toBe(before);
    });

    test("while a node ends and its replica takes over", async () => {
      const cluster = await startRedisCluster();
      await addReplica(cluster, 2);
      const { both, homes } = await startTwo([cluster[0]!.url, cluster[1]!.url]);
      await underLoad(both, homes, async () => {
        await cluster[2]?.stop();
        await homesAt(both[0]);
        expect(allFallbacks(both)).toBeGreaterThan(0);
        await untilAllShared(both);
      });
    });

    test("while a node ends that has no replica, until the others refuse as well", async () => {
      const cluster = await startRedisCluster();
      const { both, homes } = await startTwo(cluster.map(({ url }) => url));
      await underLoad(both, homes, async () => {
        await cluster[2]?.stop();
        const state = async (): Promise<string> => await (cluster[0] as RedisServer).command("CLUSTER", "INFO");
        await eventually(async () => (await state()).includes("cluster_state:fail"), "a cluster that refuses");
        for (const told of both) await homesAt(told);
        await cluster[2]?.start();
        await untilAllShared(both);
      });
    });
  });
}
