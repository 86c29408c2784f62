/** Each balancer of several talks to its subset of the endpoints, and to others where it has to. Over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { type PoolInput, stopAll, use } from "../support/exchange-fixture.ts";

afterEach(stopAll);

const COUNT = 24;
const SIZE = 8;
const INSTANCES = 3;

interface Apps {
  readonly addresses: string[];
  /** Requests that each had. */
  readonly seen: number[];
  /** Those that had any, since the last time. */
  used(): number[];
}

function startApps(): Apps {
  const seen = new Array<number>(COUNT).fill(0);
  const addresses = seen.map((_, index) => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch() {
        seen[index] = (seen[index] as number) + 1;
        return new Response(String(index));
      },
    });
    use({ stop: () => server.stop(true) });
    return `127.0.0.1:${server.port}`;
  });
  const used = (): number[] => {
    const had = seen.flatMap((requests, index) => (requests > 0 ? [index] : []));
    seen.fill(0);
    return had;
  };
  return { addresses, seen, used };
}

function configOf(endpoints: PoolInput["endpoints"], instance: number, pool: Partial<PoolInput> = {}): ConfigInput {
  const subset = { size: SIZE, instance, instances: INSTANCES };
  return {
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    pools: { app: { balance: "round-robin", endpoints, subset, ...pool } },
  };
}

const serve = (endpoints: PoolInput["endpoints"], instance: number, pool?: Partial<PoolInput>): Balancer =>
  use(startBalancer(configOf(endpoints, instance, pool)));

async function ask({ port }: Balancer, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers });
  expect(response.status).toBe(200);
  return Number(await response.text());
}

async function askOften(balancer: Balancer, requests = 2 * COUNT, headers = {}): Promise<void> {
  for (let index = 0; index < requests; index++) await ask(balancer, headers);
}

test("three balancers share the endpoints: each its own, together all of them", async () => {
  const apps = startApps();
  const all: number[] = [];
  for (let instance = 0; instance < INSTANCES; instance++) {
    await askOften(serve(apps.addresses, instance));
    const used = apps.used();
    expect(used).toHaveLength(SIZE);
    all.push(...used);
  }
  expect(new Set(all).size).toBe(COUNT);
});

test("alone, a balancer uses them all, whatever size it was given", async () => {
  const apps = startApps();
  await askOften(serve(apps.addresses, 0, { subset: { size: 2 } }));
  expect(apps.used()).toHaveLength(COUNT);
});

describe("when endpoints of the subset are missing", () => {
  test("others take their place while fewer than half are left, and not one request fails", async () => {
    const apps = startApps();
    const balancer = serve(apps.addresses, 1);
    await askOften(balancer);
    const own = apps.used();
    for (const index of own.slice(0, 4)) balancer.setEligible("app", index, false);
    await askOften(balancer);
    expect(apps.used()).toEqual(own.slice(4));
    for (const index of own.slice(4)) balancer.setEligible("app", index, false);
    await askOften(balancer);
    const others = apps.used();
    expect(others.length).toBeGreaterThanOrEqual(SIZE);
    expect(others.filter((index) => own.includes(index))).toEqual([]);
  });

  test("in panic, those that are not well are of the subset as well", async () => {
    const apps = startApps();
    const balancer = serve(apps.addresses, 1, { panic: { threshold: 50, failOpen: true } });
    await askOften(balancer);
    const own = apps.used();
    for (let index = 0; index < COUNT; index++) balancer.setEligible("app", index, false);
    await Bun.sleep(150);
    await askOften(balancer);
    expect(apps.used()).toEqual(own);
  });

  test("requests that find their subset full go beyond it before they wait", async () => {
    const apps = startApps();
    const endpoints = apps.addresses.map((address) => ({ address, maxConnections: 1 }));
    const balancer = serve(endpoints, 2);
    const table = balancer.tables.endpoints;
    await askOften(balancer);
    const own = apps.used();
    for (const row of own) table.acquire(row, 0);
    await askOften(balancer);
    expect(apps.used()).toHaveLength(COUNT - SIZE);
    for (const row of own) table.release(row, 0);
  });

  test("a retry goes to another of the subset", async () => {
    const apps = startApps();
    const balancer = serve(apps.addresses, 0);
    await askOften(balancer);
    const own = apps.used();
    const [broken] = own;
    const refusing = apps.addresses.map((address, index) => (index === broken ? "127.0.0.1:1" : address));
    balancer.reload(configOf(refusing, 0));
    await askOften(balancer);
    expect(apps.used().filter((index) => index !== broken).length).toBeLessThanOrEqual(SIZE);
  });
});

describe("sessions", () => {
  const sessions = { type: "header", name: "X-User" } as const;

  test("stay where they are, also when a smaller subset or another number leaves their endpoint out", async () => {
    const apps = startApps();
    const balancer = use(startBalancer(configOf(apps.addresses, 0, { sessions, subset: { size: COUNT } })));
    const users = Array.from({ length: COUNT }, (_, index) => `user-${index}`);
    const homes: number[] = [];
    for (const user of users) homes.push(await ask(balancer, { "X-User": user }));
    expect(new Set(homes).size).toBe(COUNT);
    for (const instance of [0, 1, 2]) {
      balancer.reload(configOf(apps.addresses, instance, { sessions }));
      for (const [index, user] of users.entries()) expect(await ask(balancer, { "X-User": user })).toBe(homes[index]!);
    }
  });

  test("of an endpoint outside that drains stay until it has drained", async () => {
    const apps = startApps();
    const balancer = use(startBalancer(configOf(apps.addresses, 0, { sessions, subset: { size: COUNT } })));
    const users = Array.from({ length: COUNT }, (_, index) => `user-${index}`);
    const homes = new Map<number, string>();
    for (const user of users) homes.set(await ask(balancer, { "X-User": user }), user);
    balancer.reload(configOf(apps.addresses, 0, { sessions }));
    apps.used();
    await askOften(balancer);
    const own = apps.used();
    const outside = [...homes.keys()].find((home) => !own.includes(home)) as number;
    const user = { "X-User": homes.get(outside) as string };
    balancer.tables.endpoints.setState(outside, "drain");
    expect(await ask(balancer, user)).toBe(outside);
    balancer.tables.endpoints.setDrained(outside);
    expect(own).toContain(await ask(balancer, user));
  });
});

test("TCP connections go to the subset as well", async () => {
  const accepted = new Set<number>();
  const addresses = Array.from({ length: COUNT }, (_, index) => {
    const socket = { data() {}, open: () => void accepted.add(index) };
    const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
    use({ stop: () => server.stop(true) });
    return `127.0.0.1:${server.port}`;
  });
  const { listeners, ...rest } = configOf(addresses, 1);
  const web = { ...listeners["web"], address: "127.0.0.1:0", protocol: "tcp" } as const;
  const balancer = use(startBalancer({ ...rest, listeners: { web } }));
  for (let index = 0; index < 2 * COUNT; index++) {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: balancer.port, socket: { data() {} } });
    use({ stop: () => socket.end() });
  }
  while (balancer.inFlight() < 2 * COUNT) await Bun.sleep(5);
  expect(accepted.size).toBe(SIZE);
});
