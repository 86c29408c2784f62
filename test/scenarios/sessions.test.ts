/** What sessions outlive: workers that are killed, all of them, reloads, and balancers that share them, over real processes. */
import { afterEach, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { endAll, eventually, freePort } from "../support/process.ts";
import { hasRedis, RedisServer } from "../support/redis.ts";

const TIMEOUT_MS = 60_000;
const servers: { stop(force: boolean): unknown }[] = [];

afterEach(async () => {
  await endAll();
  for (const server of servers.splice(0)) await server.stop(true);
});

function startApps(count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(`app-${index}`) });
    servers.push(server);
    return `127.0.0.1:${server.port}`;
  });
}

const pool = (endpoints: string[], sessions: object) => ({
  balance: "round-robin",
  health: false,
  endpoints,
  sessions,
});

function balancing(port: number, endpoints: string[]): ConfigInput {
  return {
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "cookie" } },
    routes: [{ match: { pathPrefix: "/header" }, pool: "header" }],
    pools: {
      cookie: pool(endpoints, { type: "cookie" }),
      header: pool(endpoints, { type: "header", name: "X-User" }),
    },
  } as ConfigInput;
}

async function killWorkers(evenkeel: Evenkeel): Promise<void> {
  const before = evenkeel.workers();
  for (const worker of before) process.kill(worker, "SIGKILL");
  await evenkeel.says("a worker ended and is replaced", before.length);
  await eventually(
    async () => evenkeel.workers().every((worker) => !before.includes(worker)) && (await evenkeel.readiness()) === 200,
    "other workers",
  );
}

test(
  "sessions outlive their workers and a reload, in the cookie without a secret of one's own, and in the table",
  async () => {
    const endpoints = startApps(3);
    const port = await freePort();
    const evenkeel = await startEvenkeel(balancing(port, endpoints));
    // Each on a connection of its own, so that all workers get some.
    const ask = async (path: string, headers: Record<string, string>): Promise<Response> => {
      for (let tries = 0; ; tries++) {
        try {
          return await fetch(`http://127.0.0.1:${port}${path}`, { headers: { ...headers, Connection: "close" } });
        } catch (error) {
          if (tries > 100) throw error;
          await Bun.sleep(50);
        }
      }
    };
    const cookies = new Map<string, string>();
    const users = new Map<string, string>();
    for (let index = 0; index < 12; index++) {
      const response = await ask("/", {});
      cookies.set(response.headers.getSetCookie()[0]?.split(";")[0] as string, await response.text());
      users.set(`user-${index}`, await (await ask("/header", { "X-User": `user-${index}` })).text());
    }
    const allStay = async (): Promise<void> => {
      for (const [cookie, app] of cookies) {
        const response = await ask("/", { Cookie: cookie });
        expect([await response.text(), response.headers.getSetCookie()]).toEqual([app, []]);
      }
      for (const [user, app] of users) expect(await (await ask("/header", { "X-User": user })).text()).toBe(app);
    };
    const kept = async (): Promise<number> =>
      (await evenkeel.metrics()).sum("evenkeel_pool_sessions_total", 'outcome="kept"');
    expect(new Set(users.values()).size).toBeGreaterThan(1);
    await allStay();
    // An answer is out a moment before it is counted: nobody may die in between.
    await eventually(async () => (await kept()) === cookies.size + users.size, "all to be counted");
    await killWorkers(evenkeel);
    await allStay();
    expect(await evenkeel.reload({ ...balancing(port, [...startApps(1), ...endpoints]) })).toBeTrue();
    await allStay();
    expect(await kept()).toBe(3 * (cookies.size + users.size));
    const metrics = await evenkeel.metrics();
    expect(metrics.sum("evenkeel_pool_sessions_total", 'outcome="new"')).toBe(24);
    expect(metrics.sum("evenkeel_pool_sessions_total", 'outcome="moved"')).toBe(0);
    expect(evenkeel.count("without a secret one is made at each start")).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

if (!hasRedis()) console.log("skipped: sessions that balancers share: redis-server is not installed");
else
  test(
    "two balancers share sessions through Redis; one that starts anew has them from there, and Redis may go",
    async () => {
      const redis = await new RedisServer(await freePort()).start();
      const endpoints = startApps(3);
      const ports = [await freePort(), await freePort()];
      // Long enough for a busy machine: who does not get an answer in time would go by its own table.
      const shared = { type: "header", name: "X-User", redis: { url: redis.url, timeout: "2s" } };
      const configOf = (balancer: 0 | 1) =>
        ({
          workers: 2,
          listeners: { web: { address: `127.0.0.1:${ports[balancer]}`, pool: "app" } },
          pools: { app: pool(endpoints, shared) },
        }) as ConfigInput;
      const first = await startEvenkeel(configOf(0));
      await startEvenkeel(configOf(1));
      const users = Array.from({ length: 12 }, (_, index) => `user-${index}`);
      const homesAt = async (balancer: 0 | 1): Promise<string[]> => {
        const homes: string[] = [];
        for (const user of users) {
          const headers = { "X-User": user, Connection: "close" };
          const response = await fetch(`http://127.0.0.1:${ports[balancer]}/`, { headers });
          expect(response.status).toBe(200);
          homes.push(await response.text());
        }
        return homes;
      };
      const homes = await homesAt(0);
      expect(new Set(homes).size).toBeGreaterThan(1);
      expect(await homesAt(1)).toEqual(homes);
      first.signal("SIGTERM");
      await first.ending();
      const again = await startEvenkeel(configOf(0));
      expect(await homesAt(0)).toEqual(homes);
      const metrics = await again.metrics();
      expect(metrics.sum("evenkeel_pool_sessions_total", 'outcome="kept"')).toBe(users.length);
      await redis.stop();
      expect(await homesAt(0)).toEqual(homes);
      expect(await homesAt(1)).toEqual(homes);
      await again.says("redis does not answer", 1);
    },
    TIMEOUT_MS,
  );
