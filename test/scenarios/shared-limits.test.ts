/** Two balancers as their users run them, with limits in common: what an operator sees of it, and one that is killed. */
import { afterEach, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, runCommand, startEvenkeel } from "../support/evenkeel.ts";
import { stopAll, use } from "../support/exchange-fixture.ts";
import { endAll, eventually, freePort } from "../support/process.ts";
import { hasRedis, RedisServer } from "../support/redis.ts";

const TIMEOUT_MS = 60_000;
const PLACES = 10;

afterEach(async () => {
  await stopAll();
  await endAll();
});

async function startBalancer(redis: string, endpoint: string): Promise<{ evenkeel: Evenkeel; url: string }> {
  const port = await freePort();
  const config: ConfigInput = {
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
    pools: { app: { endpoints: [{ address: endpoint, maxConnections: PLACES }], queue: { size: 0 } } },
    sharedLimits: { redis: { url: redis, timeout: "1s" }, interval: "100ms", forgetAfter: "2s" },
  };
  return { evenkeel: await startEvenkeel(config), url: `http://127.0.0.1:${port}` };
}

const reserved = async ({ evenkeel }: { evenkeel: Evenkeel }): Promise<number> =>
  (await evenkeel.metrics()).sum("evenkeel_endpoint_reserved_elsewhere");
const balancers = async ({ evenkeel }: { evenkeel: Evenkeel }): Promise<number> =>
  (await evenkeel.metrics()).sum("evenkeel_shared_limits_balancers");

if (!hasRedis()) console.log("skipped: limits that balancers share: redis-server is not installed");
else
  test(
    "what one has in use the other leaves free, until it is killed and forgotten",
    async () => {
      const redis = await new RedisServer(await freePort()).start();
      const held: (() => void)[] = [];
      const endpoint = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        idleTimeout: 0,
        fetch: () => new Promise<Response>((resolve) => held.push(() => resolve(new Response("done")))),
      });
      use({ stop: () => endpoint.stop(true) });
      const address = `127.0.0.1:${endpoint.port}`;
      const first = await startBalancer(redis.url, address);
      const second = await startBalancer(redis.url, address);
      for (const each of [first, second]) await eventually(async () => (await balancers(each)) === 2, "two balancers");
      // More than its part is free for one when the other has nothing to do: the second holds all but three.
      const begin = ({ url }: { url: string }): Promise<Response> => fetch(url, { headers: { Connection: "close" } });
      const asked: Promise<Response>[] = [];
      for (let count = 1; count <= PLACES - 3; count++) {
        await eventually(async () => PLACES - (await reserved(second)) >= count, "a place");
        asked.push(begin(second));
        await eventually(() => held.length === count, "a request at the endpoint");
      }
      for (const request of asked) request.catch(() => {});
      await eventually(async () => (await reserved(first)) === PLACES - 3, "places that are the other's");
      const status = await runCommand("status", "app", address, "--admin", `127.0.0.1:${first.evenkeel.adminPort}`);
      expect(status.stdout).toContain(`0 of ${PLACES} (${PLACES - 3} for other balancers) in flight`);
      const pools = await runCommand("status", "--admin", `127.0.0.1:${first.evenkeel.adminPort}`);
      expect(pools.stdout).toContain("limits shared by 2");
      const together = [begin(first), begin(first), begin(first)];
      await eventually(() => held.length === PLACES, "three more at the endpoint");
      expect((await begin(first)).status).toBe(503);

      second.evenkeel.kill();
      await eventually(async () => (await balancers(first)) === 1 && (await reserved(first)) === 0, "all places free");
      together.push(begin(first));
      await eventually(() => held.length === PLACES + 1, "another one at the endpoint");
      for (const end of held) end();
      expect((await Promise.all(together)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);

      await redis.stop();
      await first.evenkeel.says("limits are not shared now");
      const alone = await runCommand("status", "--admin", `127.0.0.1:${first.evenkeel.adminPort}`);
      expect(alone.stdout).toContain("limits not shared now: redis does not answer");
      expect((await first.evenkeel.metrics()).sum("evenkeel_shared_limits_reachable")).toBe(0);
    },
    TIMEOUT_MS,
  );
