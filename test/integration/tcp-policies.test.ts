/** What keeps pools up, for listeners that see connections: limits, circuits, budgets and fallback pools, over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { breakerStateIn } from "../../src/resilience/circuit-breaker.ts";
import { LIMIT_CELL } from "../../src/resilience/concurrency-limits.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { deadAddress, stalledAddress, stopAll, use } from "../support/exchange-fixture.ts";
import { eventually, type TcpClient, tcpClient, tcpEndpoint } from "../support/tcp.ts";

type Pools = NonNullable<ConfigInput["pools"]>;

afterEach(stopAll);

/** Says a name, and stays open until the client has ended. */
const says = (name: string) => (socket: Socket) => {
  socket.on("end", () => socket.end());
  socket.write(name);
};

async function named(name: string): Promise<string> {
  return use(await tcpEndpoint(says(name))).address;
}

function serve(pools: Pools, clock?: FakeClock): Balancer {
  const listeners = { db: { address: "127.0.0.1:0", protocol: "tcp", pool: "app" } } as const;
  const healthy = Object.entries(pools).map(([name, pool]) => [name, { health: false, ...pool }]);
  const config: ConfigInput = { listeners, pools: Object.fromEntries(healthy) };
  return use(startBalancer(config, clock === undefined ? {} : { clock, timers: clock }));
}

async function connect(to: Balancer): Promise<TcpClient> {
  const client = await tcpClient(to.port);
  use({ stop: () => void client.socket.destroy() });
  return client;
}

/** Who a new connection comes to; "reset" when it is refused. */
async function comesTo(to: Balancer): Promise<{ client: TcpClient; name: string }> {
  const client = await connect(to);
  await client.until(() => client.received() > 0 || client.ended() !== "");
  return { client, name: client.text() === "" ? client.ended() : client.text() };
}

async function names(to: Balancer, count: number): Promise<string[]> {
  const all: string[] = [];
  for (let index = 0; index < count; index++) {
    const { client, name } = await comesTo(to);
    all.push(name);
    client.socket.end();
    await client.closed;
  }
  return all;
}

const counted = ({ tables }: Balancer, field: number, row = 0): number => tables.metrics.read("pool", row, field);

describe("limits", () => {
  test("`active`: no more connections than that; a place that is given back is there for the next", async () => {
    const to = serve({ app: { endpoints: [await named("a")], limits: { active: 2 } } });
    const [first, second] = [await comesTo(to), await comesTo(to)];
    expect([first.name, second.name, (await comesTo(to)).name]).toEqual(["a", "a", "reset"]);
    expect(counted(to, POOL.refused)).toBe(1);
    first.client.socket.end();
    await eventually(() => to.openConnections() === 1, "the end of the first");
    expect((await comesTo(to)).name).toBe("a");
  });

  test("`pending`: no more wait than that", async () => {
    const app = { endpoints: [{ address: await named("a"), maxConnections: 1 }], limits: { pending: 1 } };
    const to = serve({ app });
    const first = await comesTo(to);
    const waiting = await connect(to);
    await eventually(() => counted(to, POOL.waiting) === 1, "somebody who waits");
    expect((await comesTo(to)).name).toBe("reset");
    first.client.socket.end();
    await waiting.until(() => waiting.text() === "a");
    waiting.socket.end();
    await eventually(() => to.inFlight() === 0, "no connection left");
    expect((await comesTo(to)).name).toBe("a");
  });

  test("`retries`, and the budget: a connection that fails is not made elsewhere when there are too many", async () => {
    const endpoints = [deadAddress(), await named("b")];
    const pool = { endpoints, balance: "first" } as const;
    const budget = { percent: 0, minimum: 0, exempt: [] };
    const to = serve({ app: { ...pool, retry: { budget } } });
    expect(await names(to, 2)).toEqual(["reset", "reset"]);
    expect([counted(to, POOL.retries), counted(to, POOL.retriesOverBudget)]).toEqual([0, 2]);
    to.reload({
      listeners: { db: { address: "127.0.0.1:0", protocol: "tcp", pool: "app" } },
      pools: { app: { ...pool, health: false, retry: { budget: { ...budget, minimum: 1 } }, limits: { retries: 1 } } },
    });
    expect(await names(to, 3)).toEqual(["b", "b", "b"]);
    expect(counted(to, POOL.retries)).toBe(3);
  });
});

describe("circuits", () => {
  test("of an endpoint: passed over while it cannot be reached, tried again, and used again", async () => {
    const clock = new FakeClock();
    const sick = await tcpEndpoint(says("a"));
    const pool = { balance: "first", retry: { attempts: 0 } } as const;
    const circuitBreaker = { consecutiveFailures: 2, openFor: "30s", trials: 1 };
    const app = { ...pool, endpoints: [sick.address, await named("b")], circuitBreaker };
    const to = serve({ app }, clock);
    const state = () => breakerStateIn(to.tables.resilience.endpointBreaker(0));
    expect(await names(to, 2)).toEqual(["a", "a"]);
    await sick.stop();
    expect(await names(to, 4)).toEqual(["reset", "reset", "b", "b"]);
    expect([state(), to.events]).toEqual(["open", ["circuit.opened app"]]);
    clock.advance(30_000);
    expect(await names(to, 2)).toEqual(["reset", "b"]);
    const well = use(await tcpEndpoint(says("well"), sick.port));
    clock.advance(30_000);
    const { client, name } = await comesTo(to);
    // It has passed with its connection, long before that ends.
    expect([name, state()]).toEqual(["well", "closed"]);
    expect((await comesTo(to)).name).toBe("well");
    expect(client.ended()).toBe("");
    expect(well.sockets.length).toBe(2);
  });

  test("of the pool: connections are refused at once, or go to the fallback", async () => {
    const clock = new FakeClock();
    const circuitBreaker = { scope: "pool", consecutiveFailures: 2 } as const;
    const app = { endpoints: [deadAddress()], retry: { attempts: 0 }, circuitBreaker };
    const to = serve({ app }, clock);
    expect(await names(to, 3)).toEqual(["reset", "reset", "reset"]);
    expect(breakerStateIn(to.tables.resilience.poolBreaker(0))).toBe("open");
    expect(counted(to, POOL.refused)).toBe(1);
    const spare = serve({ app: { ...app, fallback: "spare" }, spare: { endpoints: [await named("s")] } }, clock);
    expect(await names(spare, 3)).toEqual(["s", "s", "s"]);
    expect([counted(spare, POOL.fellBack), counted(spare, POOL.refused)]).toEqual([3, 0]);
  });

  test("a client that leaves while its trial is under way decides nothing", async () => {
    const clock = new FakeClock();
    const circuitBreaker = { consecutiveFailures: 1, trials: 1, openFor: "10s" };
    const connections = { connectTimeout: "1s" };
    const app = { endpoints: [await stalledAddress()], retry: { attempts: 0 }, connections, circuitBreaker };
    const to = serve({ app }, clock);
    const state = () => breakerStateIn(to.tables.resilience.endpointBreaker(0));
    const first = await connect(to);
    await eventually(() => to.inFlight() === 1, "an attempt");
    clock.advance(1_500);
    await first.until(() => first.ended() === "reset");
    expect(state()).toBe("open");
    clock.advance(10_000);
    const leaving = await connect(to);
    await eventually(() => to.inFlight() === 1, "a trial");
    expect(state()).toBe("half-open");
    leaving.socket.resetAndDestroy();
    await eventually(() => to.inFlight() === 0, "the end of the trial");
    expect(state()).toBe("half-open");
    // The place for the one trial is free again.
    await connect(to);
    await eventually(() => to.inFlight() === 1, "another trial");
  });
});

describe("a fallback pool", () => {
  test("takes connections that the pool has no endpoint or no place for, and what they hold is given back", async () => {
    const [main, spare] = [await named("m"), await named("s")];
    const pools: Pools = {
      app: { endpoints: [main], limits: { active: 1 }, fallback: "spare" },
      spare: { endpoints: [spare], limits: { active: 1 } },
    };
    const to = serve(pools);
    const all = [await comesTo(to), await comesTo(to), await comesTo(to)];
    expect(all.map(({ name }) => name)).toEqual(["m", "s", "reset"]);
    for (const { client } of all) client.socket.end();
    await eventually(() => to.openConnections() === 0 && to.inFlight() === 0, "no connection left");
    to.setEligible("app", 0, false);
    expect(await names(to, 2)).toEqual(["s", "s"]);
    to.setEligible("app", 0, true);
    expect(await names(to, 2)).toEqual(["m", "m"]);
    const counters = to.tables.resilience.pools(0);
    const active = (row: number): number => counters.usage.read(counters.limits(row) + LIMIT_CELL.active);
    await eventually(() => active(0) === 0 && active(1) === 0, "limits that are free again");
  });
});
