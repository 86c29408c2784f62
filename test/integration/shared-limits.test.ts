/** Limits that two balancers keep together through a real Redis, which is stopped, paused, started again, and a cluster. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { stopAll, use } from "../support/exchange-fixture.ts";
import { endAll, eventually, freePort } from "../support/process.ts";
import { hasRedis, RedisServer, startRedisCluster } from "../support/redis.ts";
import { type Supervised, startSupervised } from "../support/supervised.ts";

const TIMEOUT_MS = 60_000;
const PLACES = 8;
const ANSWER_AFTER_MS = 15;
const CLIENTS = 3 * PLACES;

afterEach(async () => {
  await stopAll();
  await endAll();
});

/** Takes its time with every answer, and knows the most that it had to do at once. */
class BusyEndpoint {
  readonly address: string;
  now = 0;
  most = 0;
  answered = 0;

  constructor() {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async () => {
        this.most = Math.max(this.most, ++this.now);
        await Bun.sleep(ANSWER_AFTER_MS);
        this.now--;
        this.answered++;
        return new Response("done");
      },
    });
    use({ stop: () => server.stop(true) });
    this.address = `127.0.0.1:${server.port}`;
  }

  /** The most at once while it gives `count` answers. */
  async mostDuring(count: number): Promise<number> {
    this.most = this.now;
    const until = this.answered + count;
    await eventually(() => this.answered >= until, `${count} answers`);
    return this.most;
  }
}

function configOf({ address }: BusyEndpoint): ConfigInput {
  return {
    workers: 0,
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    pools: {
      app: {
        health: false,
        endpoints: [{ address, maxConnections: PLACES }],
        limits: { active: 100 },
        queue: { timeout: "30s" },
      },
    },
  };
}

async function startBalancer(
  endpoint: BusyEndpoint,
  url: string | string[],
  whenUnreachable: "alone" | "split" = "alone",
): Promise<Supervised> {
  const redis = { url, timeout: "1s", failures: 2, wait: "100ms" };
  const sharedLimits = { redis, interval: "50ms", forgetAfter: "1s", whenUnreachable };
  return use(await startSupervised({ ...configOf(endpoint), sharedLimits }));
}

/** As many clients as there are places three times over; all of them must be answered. */
function keepBusy({ port }: Supervised): { readonly answered: () => number } {
  let answered = 0;
  let over = false;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!over) {
      const response = await fetch(`http://127.0.0.1:${port}/`);
      if (response.status !== 200 || (await response.text()) !== "done") throw new Error(`status ${response.status}`);
      answered++;
    }
  });
  const all = Promise.all(clients);
  all.catch(() => {});
  use({
    stop: async () => {
      over = true;
      await all;
    },
  });
  return { answered: () => answered };
}

async function sharing({ api }: Supervised): Promise<{ balancers: number; heard: boolean } | null> {
  return (await api("GET", "pools/app")).body.sharing;
}

const sharedByTwo = (balancer: Supervised): Promise<void> =>
  eventually(async () => {
    const view = await sharing(balancer);
    return view?.balancers === 2 && view.heard;
  }, "limits that two share");

const unheard = (balancer: Supervised): Promise<void> =>
  eventually(async () => (await sharing(balancer))?.heard === false, "a balancer that is alone");

/** Waits until the endpoint has no more to do than its places allow, for 200 answers in a row. */
const keptTogether = (endpoint: BusyEndpoint): Promise<void> =>
  eventually(async () => (await endpoint.mostDuring(200)) <= PLACES, "a limit that is kept by both together");

if (!hasRedis()) console.log("skipped: limits that balancers share: redis-server is not installed");
else {
  describe("limits shared through Redis", () => {
    test(
      "are kept by both together, each with its part; Redis stopped, paused and started again costs no request",
      async () => {
        const redis = await new RedisServer(await freePort()).start();
        const endpoint = new BusyEndpoint();
        const [first, second] = [await startBalancer(endpoint, redis.url), await startBalancer(endpoint, redis.url)];
        await sharedByTwo(first);
        await sharedByTwo(second);
        const [ours, theirs] = [keepBusy(first), keepBusy(second)];
        await keptTogether(endpoint);
        const before = [ours.answered(), theirs.answered()];
        await endpoint.mostDuring(300);
        for (const [index, { answered }] of [ours, theirs].entries())
          expect(answered() - (before[index] as number)).toBeGreaterThan(100);
        const view = (await first.api("GET", `pools/app/endpoints/${endpoint.address}`)).body;
        expect([view.maxConnections, view.elsewhere]).toEqual([PLACES, PLACES / 2]);

        for (const [fail, mend] of [
          [() => redis.stop(), () => redis.start()],
          [() => redis.pause(), () => redis.resume()],
        ] as const) {
          await fail();
          await unheard(first);
          await unheard(second);
          // Each has all of the limit now.
          await eventually(
            async () => (await endpoint.mostDuring(50)) > PLACES,
            "balancers that go by their own counts",
          );
          await mend();
          await sharedByTwo(first);
          await sharedByTwo(second);
          await keptTogether(endpoint);
        }
      },
      TIMEOUT_MS,
    );

    test(
      "`split`: without Redis each keeps to its part",
      async () => {
        const redis = await new RedisServer(await freePort()).start();
        const endpoint = new BusyEndpoint();
        const first = await startBalancer(endpoint, redis.url, "split");
        const second = await startBalancer(endpoint, redis.url, "split");
        await sharedByTwo(first);
        await sharedByTwo(second);
        keepBusy(first);
        keepBusy(second);
        await keptTogether(endpoint);
        await redis.stop();
        await unheard(first);
        await unheard(second);
        expect(await endpoint.mostDuring(400)).toBeLessThanOrEqual(PLACES);
      },
      TIMEOUT_MS,
    );

    test(
      "are all for the one that is left when the other stops, and its own when they are shared no more",
      async () => {
        const redis = await new RedisServer(await freePort()).start();
        const endpoint = new BusyEndpoint();
        const first = await startBalancer(endpoint, redis.url);
        const second = await startBalancer(endpoint, redis.url);
        await sharedByTwo(first);
        await second.stop();
        await eventually(async () => (await sharing(first))?.balancers === 1, "one balancer");
        keepBusy(first);
        await eventually(async () => (await endpoint.mostDuring(50)) === PLACES, "all places in use");
        await first.reload(configOf(endpoint));
        expect(await sharing(first)).toBeNull();
      },
      TIMEOUT_MS,
    );

    test(
      "are shared through a cluster, whichever of its nodes is named",
      async () => {
        const cluster = await startRedisCluster();
        const endpoint = new BusyEndpoint();
        const [one, two, three] = cluster.map(({ url }) => url) as [string, string, string];
        const balancers = [await startBalancer(endpoint, one), await startBalancer(endpoint, [two, three])];
        for (const balancer of balancers) {
          await sharedByTwo(balancer);
          keepBusy(balancer);
        }
        await keptTogether(endpoint);
      },
      TIMEOUT_MS,
    );
  });
}
