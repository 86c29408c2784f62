/** What keyed algorithms send elsewhere when endpoints come, go and change weight while running: what must move, no more. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { eventually } from "../support/process.ts";
import { type Supervised, startSupervised } from "../support/supervised.ts";

const KEYS = 300;
const ENDPOINTS = 5;

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function endpoint(): string {
  let id = "";
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(id) });
  stops.push(() => server.stop(true));
  id = `127.0.0.1:${server.port}`;
  return id;
}

/** Which endpoint each key goes to. */
async function owners(of: Supervised): Promise<string[]> {
  const found: string[] = [];
  for (let key = 0; key < KEYS; key++) {
    const response = await fetch(`http://127.0.0.1:${of.port}/`, { headers: { "x-key": `key-${key}` } });
    expect(response.status).toBe(200);
    found.push(await response.text());
  }
  return found;
}

/** Where keys have gone: `from>to` of each that has moved. */
function moves(before: readonly string[], after: readonly string[]): { from: string; to: string }[] {
  return before.flatMap((from, key) => (from === after[key] ? [] : [{ from, to: after[key] as string }]));
}

function config(endpoints: readonly string[], balance: ConfigInputBalance, slowStart: object | false): ConfigInput {
  return {
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    pools: {
      app: { endpoints: [...endpoints], balance, key: { header: "x-key" }, health: { type: "tcp" }, slowStart },
    },
  };
}
type ConfigInputBalance = NonNullable<NonNullable<ConfigInput["pools"]>[string]["balance"]>;

const path = (id: string): string => `pools/app/endpoints/${encodeURIComponent(id)}`;

/** Part of the keys that may move beside those that must: maglev is near to minimal, the others are minimal. */
const cases = [
  { balance: "ring-hash", spare: 0 },
  { balance: "rendezvous", spare: 0 },
  { balance: "maglev", spare: 0.08 },
] as const;

for (const { balance, spare } of cases)
  for (const slowStart of [false, { window: "1ms" }] as const)
    describe(`${balance}${slowStart === false ? "" : ", in the units of slow start"}`, () => {
      test("moves only what must move", async () => {
        const endpoints = Array.from({ length: ENDPOINTS }, endpoint);
        const added = endpoint();
        const to = await startSupervised(config(endpoints, balance, slowStart));
        stops.push(() => to.stop());
        const isUsable = async (id: string) => (await to.api("GET", path(id))).body.usable === true;
        const first = await owners(to);

        await to.api("POST", "pools/app/endpoints", { address: added });
        await eventually(() => isUsable(added), "the new endpoint");
        const more = await owners(to);
        const toNew = moves(first, more);
        expect(toNew.length).toBeGreaterThan(0);
        expect(toNew.filter((move) => move.to !== added).length).toBeLessThanOrEqual(spare * KEYS);
        expect(toNew.length).toBeLessThan((KEYS / (ENDPOINTS + 1)) * 2);

        await to.api("DELETE", path(added));
        expect(await owners(to)).toEqual(first);

        // Drained and enabled: its keys alone go and come back.
        const [drained] = endpoints as [string];
        await to.api("PATCH", path(drained), { state: "drain" });
        const without = moves(first, await owners(to));
        expect(without.every(({ from }) => from === drained)).toBeTrue();
        expect(without).toHaveLength(first.filter((owner) => owner === drained).length);
        await to.api("PATCH", path(drained), { state: "ready" });
        await eventually(() => isUsable(drained), "the drained endpoint");
        await eventually(async () => moves(first, await owners(to)).length === 0, "every key where it was");

        // Heavier: it takes keys, and none move between the others.
        await to.api("PATCH", path(drained), { weight: 3 });
        const heavier = moves(first, await owners(to));
        expect(heavier.length).toBeGreaterThan(0);
        expect(heavier.filter((move) => move.to !== drained).length).toBeLessThanOrEqual(spare * KEYS * 2);
        await to.api("PATCH", path(drained), { weight: 1 });
        expect(await owners(to)).toEqual(first);
      }, 30_000);
    });
