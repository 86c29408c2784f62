/** Twice as many requests as the endpoints can work on: they stay as busy as they can be, and whoever is refused is told so. */
import { afterEach, expect, test } from "bun:test";
import { startControlledEndpoints } from "../support/controlled-endpoint.ts";
import { startEvenkeel } from "../support/evenkeel.ts";
import { measureCapacity, steadyLoad } from "../support/fixed-rate-load.ts";
import { endAll, eventually, freePort } from "../support/process.ts";

const TIMEOUT_MS = 60_000;
const AT_A_TIME = 5;
const SERVICE_MS = "40";
const SECONDS = 4;
/** Queues fill. */
const SETTLE_MS = 1_000;

afterEach(endAll);

for (const codel of [false, {}] as const) {
  test(
    `goodput stays near the capacity, and every refusal is a 503 with Retry-After${codel === false ? "" : ", with queue.codel"}`,
    async () => {
      const limits = [String(AT_A_TIME), SERVICE_MS];
      const endpoints = await startControlledEndpoints(4, "support/limited-endpoint.ts", () => limits);
      const port = await freePort();
      const evenkeel = await startEvenkeel({
        workers: 2,
        listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
        pools: {
          app: {
            endpoints: endpoints.map(({ address }) => ({ address, maxConnections: AT_A_TIME })),
            queue: { size: 100, timeout: "1s", codel },
          },
        },
      });
      const capacity = await measureCapacity(
        endpoints.map((endpoint) => endpoint.port),
        AT_A_TIME,
      );
      const load = { port, requestsPerSecond: 2 * capacity, seconds: SECONDS, patienceMs: 15_000 };
      const outcomes = await steadyLoad(load);

      const isCounted = (atMs: number): boolean => atMs >= SETTLE_MS && atMs < SECONDS * 1_000;
      const good = outcomes.filter(({ status, fromMs, tookMs }) => status === 200 && isCounted(fromMs + tookMs));
      const goodput = good.length / (SECONDS - SETTLE_MS / 1_000);
      console.log(
        `overload: ${Math.round((goodput * 100) / capacity)}% of ${Math.round(capacity)} requests/s are served`,
      );
      expect(goodput).toBeGreaterThan(0.7 * capacity);
      const refused = outcomes.filter(({ status }) => status !== 200);
      expect(refused.length).toBeGreaterThan(0.2 * outcomes.length);
      expect(refused.filter(({ status, head }) => status !== 503 || !/^retry-after: \d+$/im.test(head))).toEqual([]);

      const metrics = await evenkeel.metrics();
      const reasons = ["E_QUEUE_FULL", "E_QUEUE_TIMEOUT"].map((reason) =>
        metrics.sum("evenkeel_refusals_total", `reason="${reason}"`),
      );
      expect((reasons[0] as number) + (reasons[1] as number)).toBe(refused.length);
      await eventually(async () => {
        const now = await evenkeel.metrics();
        return now.sum("evenkeel_endpoint_in_flight") === 0 && now.sum("evenkeel_pool_waiting") === 0;
      }, "nothing in flight and nobody waiting");
    },
    TIMEOUT_MS,
  );
}
