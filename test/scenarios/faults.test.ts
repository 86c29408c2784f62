/** Endpoints that fail in every way there is, under load: how many requests clients see fail is what the settings promise. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type ControlledEndpoint, startControlledEndpoints } from "../support/controlled-endpoint.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { endAll, eventually, freePort } from "../support/process.ts";
import { expectNoneFailed, failed, load as loadBy, type Seen } from "../support/steady-clients.ts";

const TIMEOUT_MS = 60_000;
const CLIENTS = 8;

afterEach(endAll);

type PoolInput = NonNullable<ConfigInput["pools"]>[string];

/** Everything that can be tried again is, three tries in all, and endpoints that fail three times in a row are left alone. */
const POOL: Omit<PoolInput, "endpoints"> = {
  balance: "round-robin",
  health: { type: "tcp", interval: "500ms", transitionInterval: "200ms" },
  retry: {
    attempts: 2,
    on: ["connect-failure", "refused-stream", "reset", "timeout", "bad-answer", 503],
    perTryTimeout: "600ms",
    budget: { minimum: 2 * CLIENTS },
  },
  outlierDetection: {
    consecutiveServerErrors: 3,
    consecutiveGatewayErrors: 3,
    consecutiveConnectFailures: 3,
    consecutiveTimeouts: 3,
    ejectionJitter: "0s",
    successRate: false,
  },
};

interface Scene {
  readonly evenkeel: Evenkeel;
  readonly endpoints: readonly ControlledEndpoint[];
  readonly url: string;
}

async function setUp(count: number, pool: Partial<PoolInput> = {}): Promise<Scene> {
  const endpoints = await startControlledEndpoints(count);
  const port = await freePort();
  const evenkeel = await startEvenkeel({
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
    pools: { app: { ...POOL, endpoints: endpoints.map(({ address }) => address), ...pool } },
  });
  return { evenkeel, endpoints, url: `http://127.0.0.1:${port}/` };
}

const load = (url: string, during: () => Promise<unknown>): Promise<Seen> => loadBy(url, CLIENTS, during);

async function untilEjected({ evenkeel }: Scene, { address }: ControlledEndpoint): Promise<void> {
  const isEjected = async (): Promise<boolean> =>
    (await evenkeel.metrics()).sum("evenkeel_endpoint_ejected", `endpoint="${address}"`) === 1;
  await eventually(isEjected, () => `${address} to be ejected, by ${evenkeel.describe()}`);
}

async function untilNothingIsHeld({ evenkeel }: Scene): Promise<void> {
  const inFlight = async () => (await evenkeel.metrics()).sum("evenkeel_endpoint_in_flight");
  await eventually(async () => (await inFlight()) === 0, "in-flight to come to 0");
}

describe("one endpoint of three: no GET fails", () => {
  const faults: [name: string, strike: (endpoint: ControlledEndpoint) => unknown, isEjected: boolean][] = [
    ["dies", ({ program }) => program.kill(), false],
    ["hangs", ({ program }) => program.signal("SIGSTOP"), true],
    ["answers too slowly", (endpoint) => endpoint.become("slow"), true],
    ["answers garbage", (endpoint) => endpoint.become("garbage"), true],
    ["refuses half of its connections", (endpoint) => endpoint.become("refuse-half"), false],
    ["comes and goes every second", (endpoint) => endpoint.become("flap"), false],
  ];
  for (const [name, strike, isEjected] of faults) {
    test(
      `that ${name}`,
      async () => {
        const scene = await setUp(3);
        const sick = scene.endpoints[1] as ControlledEndpoint;
        const seen = await load(scene.url, async () => {
          await Bun.sleep(300);
          await strike(sick);
          if (isEjected) await untilEjected(scene, sick);
          else await Bun.sleep(3_000);
          await Bun.sleep(500);
        });
        sick.program.kill();
        expectNoneFailed(seen);
        await untilNothingIsHeld(scene);
      },
      TIMEOUT_MS,
    );
  }
});

test(
  "one that resets in the middle of its answers: what had begun is lost, then it is left alone",
  async () => {
    const scene = await setUp(3);
    const sick = scene.endpoints[1] as ControlledEndpoint;
    const during = await load(scene.url, async () => {
      await sick.become("reset-mid-body");
      await untilEjected(scene, sick);
    });
    const lost = failed(during);
    expect(lost).toBeGreaterThanOrEqual(3);
    const reset = (await scene.evenkeel.metrics()).sum("evenkeel_refusals_total", 'reason="E_UPSTREAM_RESET"');
    expect(reset).toBe(lost);
    expectNoneFailed(await load(scene.url, () => Bun.sleep(1_500)));
  },
  TIMEOUT_MS,
);

test(
  "two of four at once, one dead and one hanging: no GET fails",
  async () => {
    const scene = await setUp(4);
    const [, dead, hanging] = scene.endpoints as [ControlledEndpoint, ControlledEndpoint, ControlledEndpoint];
    const seen = await load(scene.url, async () => {
      await Bun.sleep(300);
      dead.program.kill();
      hanging.program.signal("SIGSTOP");
      await Bun.sleep(4_000);
    });
    hanging.program.kill();
    expectNoneFailed(seen);
  },
  TIMEOUT_MS,
);

test(
  "all at once: every client is told in time, and served again as soon as one can",
  async () => {
    const scene = await setUp(2, { panic: {}, sorry: { status: 503, body: "sorry" } });
    const seen = await load(scene.url, async () => {
      await Bun.sleep(300);
      for (const { program } of scene.endpoints) program.signal("SIGSTOP");
      await Bun.sleep(4_000);
      for (const { program } of scene.endpoints) program.signal("SIGCONT");
      await Bun.sleep(1_500);
    });
    // Three tries of 600 ms each: nobody waits much longer, however long the endpoints hang.
    expect([...seen.statuses.keys()].sort((a, b) => a - b)).toEqual([200, 503]);
    expect(seen.longestMs).toBeLessThan(8_000);
    expectNoneFailed(await load(scene.url, () => Bun.sleep(1_000)));
    await untilNothingIsHeld(scene);
  },
  TIMEOUT_MS,
);

test(
  "a worker that dies with retries under way gives them back",
  async () => {
    // Nobody is ejected: both are needed.
    const pool = { outlierDetection: false, retry: { ...POOL.retry, budget: { percent: 0, minimum: 4 } } } as const;
    const scene = await setUp(2, pool);
    for (const { program } of scene.endpoints) program.signal("SIGSTOP");
    const [victim] = scene.evenkeel.workers() as [number];
    const stuck = load(scene.url, () => Bun.sleep(900));
    await Bun.sleep(750);
    process.kill(victim, "SIGKILL");
    await stuck;
    await scene.evenkeel.says("a worker ended and is replaced");
    await eventually(() => scene.evenkeel.workers().length === 2, "another worker");
    for (const { program } of scene.endpoints) program.signal("SIGCONT");
    await untilNothingIsHeld(scene);
    // With a budget that leaked there would be none left for this.
    const [sick] = scene.endpoints as [ControlledEndpoint];
    await sick.become("garbage");
    const seen = await load(scene.url, () => Bun.sleep(300));
    expect(seen.statuses.get(200)).toBeGreaterThan(0);
    const metrics = await scene.evenkeel.metrics();
    expect(metrics.sum("evenkeel_pool_retries_total")).toBeGreaterThan(4);
  },
  TIMEOUT_MS,
);
