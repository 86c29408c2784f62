/** Endpoints on hosts of their own, behind cables that lose, delay and throttle packets, or are pulled out. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { canDelay, canMakeHosts, TestHost } from "../support/network.ts";
import { endAll, eventually, freePort } from "../support/process.ts";
import { expectNoneFailed, load } from "../support/steady-clients.ts";

const TIMEOUT_MS = 90_000;
const CLIENTS = 8;
const PORT = 8_000;
const ENDPOINT = `
  Bun.serve({ hostname: "0.0.0.0", port: ${PORT}, fetch: () => new Response("x".repeat(1000)) });
  console.log("listening");
`;
const hosts: TestHost[] = [];

afterEach(async () => {
  await endAll();
  for (const host of hosts.splice(0)) host.remove();
});

type PoolInput = NonNullable<ConfigInput["pools"]>[string];

const POOL: Omit<PoolInput, "endpoints"> = {
  health: { type: "http", path: "/", interval: "1s", transitionInterval: "300ms", timeout: "500ms" },
  connections: { connectTimeout: "500ms" },
  retry: {
    attempts: 2,
    on: ["connect-failure", "reset", "timeout"],
    perTryTimeout: "700ms",
    budget: { minimum: 2 * CLIENTS },
  },
};

async function setUp(pool: Partial<PoolInput> = {}): Promise<{ evenkeel: Evenkeel; url: string; sick: TestHost }> {
  for (let count = 0; count < 3; count++) hosts.push(new TestHost());
  await Promise.all(hosts.map((host) => host.run([process.execPath, "-e", ENDPOINT]).says("listening")));
  const port = await freePort();
  const evenkeel = await startEvenkeel({
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
    pools: { app: { ...POOL, endpoints: hosts.map(({ address }) => `${address}:${PORT}`), ...pool } },
  });
  return { evenkeel, url: `http://127.0.0.1:${port}/`, sick: hosts[1] as TestHost };
}

/** Requests begun on the endpoint of this host. */
async function attemptsOn(evenkeel: Evenkeel, { address }: TestHost): Promise<number> {
  return (await evenkeel.metrics()).sum("evenkeel_endpoint_attempts_total", `endpoint="${address}:${PORT}"`);
}

async function isUsable(evenkeel: Evenkeel, { address }: TestHost): Promise<boolean> {
  return (await evenkeel.metrics()).sum("evenkeel_endpoint_eligible", `endpoint="${address}:${PORT}"`) === 1;
}

async function untilNothingIsHeld(evenkeel: Evenkeel): Promise<void> {
  const held = async () => (await evenkeel.metrics()).sum("evenkeel_endpoint_in_flight");
  await eventually(async () => (await held()) === 0, "in-flight to come to 0");
}

if (canMakeHosts())
  describe("one host of three: no GET fails", () => {
    test(
      "whose cable loses a tenth of all packets",
      async () => {
        const { evenkeel, url, sick } = await setUp();
        sick.lose(10);
        expectNoneFailed(await load(url, CLIENTS, () => Bun.sleep(5_000)));
        expect(await attemptsOn(evenkeel, sick)).toBeGreaterThan(5);
        await untilNothingIsHeld(evenkeel);
      },
      TIMEOUT_MS,
    );

    test(
      "whose cable is pulled out and put back: it is left alone, then used again",
      async () => {
        const { evenkeel, url, sick } = await setUp();
        const seen = await load(url, CLIENTS, async () => {
          await Bun.sleep(500);
          sick.lose(100);
          await eventually(async () => !(await isUsable(evenkeel, sick)), "the host to be left alone");
          await Bun.sleep(1_000);
          sick.lose(0);
          await eventually(
            () => isUsable(evenkeel, sick),
            () => `the host to be used again: ${evenkeel.describe()}`,
          );
          const before = await attemptsOn(evenkeel, sick);
          await eventually(async () => (await attemptsOn(evenkeel, sick)) > before, "requests to the host");
        });
        expectNoneFailed(seen);
        await untilNothingIsHeld(evenkeel);
      },
      TIMEOUT_MS,
    );

    test(
      "whose cable is slow: it gets what it can carry",
      async () => {
        const { evenkeel, url, sick } = await setUp({ balance: "peak-ewma", health: { type: "tcp", interval: "1s" } });
        sick.throttle("256kbit");
        expectNoneFailed(await load(url, CLIENTS, () => Bun.sleep(5_000)));
        const [one, two, three] = (await Promise.all(hosts.map((host) => attemptsOn(evenkeel, host)))) as [
          number,
          number,
          number,
        ];
        expect(two).toBeLessThan(Math.min(one, three) / 2);
        await untilNothingIsHeld(evenkeel);
      },
      TIMEOUT_MS,
    );

    if (canDelay())
      test(
        "that is far away: it gets less than those nearby",
        async () => {
          const { evenkeel, url, sick } = await setUp({ balance: "peak-ewma" });
          sick.delay(60);
          expectNoneFailed(await load(url, CLIENTS, () => Bun.sleep(4_000)));
          expect(await attemptsOn(evenkeel, sick)).toBeLessThan((await attemptsOn(evenkeel, hosts[0] as TestHost)) / 2);
        },
        TIMEOUT_MS,
      );
  });
