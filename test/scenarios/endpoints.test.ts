/** Endpoints that come, go and are replaced under load: clients must not notice as long as one is left. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { type NginxEndpoint, startNginx, wrk } from "../support/peers.ts";
import { endAll, eventually, freePort, havePrograms, temporaryFolder } from "../support/process.ts";

const TIMEOUT_MS = 60_000;
const HEALTH = {
  type: "http",
  path: "/",
  interval: "300ms",
  transitionInterval: "100ms",
  timeout: "1s",
  unhealthyAfter: 2,
} as const;

afterEach(endAll);

interface Balanced {
  readonly evenkeel: Evenkeel;
  readonly endpoints: readonly NginxEndpoint[];
  readonly url: string;
  readonly accessLog: string;
}

async function startBalanced(count: number): Promise<Balanced> {
  const endpoints = await startNginx(count);
  const port = await freePort();
  const accessLog = join(temporaryFolder(), "access.log");
  const evenkeel = await startEvenkeel({
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
    pools: { app: { endpoints: endpoints.map(({ address }) => address), health: HEALTH } },
    accessLog: { path: accessLog },
  });
  return { evenkeel, endpoints, url: `http://127.0.0.1:${port}/`, accessLog };
}

/** Until the endpoint's health checks have come to this, by the metrics. */
async function untilState(evenkeel: Evenkeel, { address }: NginxEndpoint, state: string): Promise<void> {
  const isSo = async (): Promise<boolean> => {
    const metrics = await evenkeel.metrics();
    const eligible = metrics.sum("evenkeel_endpoint_eligible", `endpoint="${address}"`);
    const named = metrics.sum("evenkeel_endpoint_state", `endpoint="${address}"`, `state="${state}"`);
    return named === 1 && eligible === (state === "healthy" ? 1 : 0);
  };
  await eventually(isSo, () => `${address} to be ${state}, by ${evenkeel.describe()}`);
}

/** What clients were not answered properly, with its reason: for the message of a test that fails. */
function failures(accessLog: string): string[] {
  return readFileSync(accessLog, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.includes('"reason":""') && !line.includes("E_CLIENT_CLOSED"))
    .slice(0, 5);
}

if (havePrograms("nginx", "wrk")) {
  test.each(["quit", "crash"] as const)(
    "single endpoints that %s and come back under load: no GET fails",
    async (how) => {
      const { evenkeel, endpoints, url, accessLog } = await startBalanced(3);
      const load = wrk(url, { connections: 32, seconds: 6 });
      for (const endpoint of endpoints.slice(0, 2)) {
        await Bun.sleep(400);
        await endpoint[how]();
        await untilState(evenkeel, endpoint, "unhealthy");
        await endpoint.start();
        await untilState(evenkeel, endpoint, "healthy");
      }
      const figures = await load;
      expect(failures(accessLog)).toEqual([]);
      expect(figures.socketErrors).toBe(0);
      expect(figures.badAnswers).toBe(0);
      expect(figures.requests).toBeGreaterThan(100);
      // wrk leaves without waiting for its last answers.
      const inFlight = async () => (await evenkeel.metrics()).sum("evenkeel_endpoint_in_flight");
      await eventually(async () => (await inFlight()) === 0, "in-flight to come to 0");
    },
    TIMEOUT_MS,
  );

  test(
    "a rolling restart of all endpoints under load: no GET fails",
    async () => {
      const { evenkeel, endpoints, url, accessLog } = await startBalanced(3);
      const load = wrk(url, { connections: 32, seconds: 6 });
      for (const endpoint of endpoints) {
        await endpoint.quit();
        await endpoint.start();
        // As a deployment does it: the next one when this one serves again.
        await untilState(evenkeel, endpoint, "healthy");
        await Bun.sleep(200);
      }
      const figures = await load;
      expect(failures(accessLog)).toEqual([]);
      expect(figures).toMatchObject({ badAnswers: 0, socketErrors: 0 });
    },
    TIMEOUT_MS,
  );

  test(
    "all endpoints down: 503 with Retry-After and the reason in the log; one back: 200",
    async () => {
      const { evenkeel, endpoints, url, accessLog } = await startBalanced(2);
      await Promise.all(endpoints.map((endpoint) => endpoint.quit()));
      for (const endpoint of endpoints) await untilState(evenkeel, endpoint, "unhealthy");
      const response = await fetch(`${url}lost?now=1`);
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      await eventually(() => readFileSync(accessLog, "utf8").includes("/lost?now=1"), "the line in the access log");
      const line = readFileSync(accessLog, "utf8").split("\n", 1)[0] ?? "";
      expect(JSON.parse(line)).toMatchObject({
        method: "GET",
        target: "/lost?now=1",
        status: 503,
        reason: "E_NO_ENDPOINT",
        attempts: 0,
        endpoint: "",
      });
      expect((await evenkeel.metrics()).sum("evenkeel_refusals_total", 'reason="E_NO_ENDPOINT"')).toBe(1);
      await endpoints[0]?.start();
      await eventually(async () => (await fetch(url)).status === 200, "the endpoint that is back");
    },
    TIMEOUT_MS,
  );
}
