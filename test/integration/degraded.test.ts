/** Endpoints that say that they are degraded: when they are picked, and when not. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import type { Balancer } from "../support/balancer.ts";
import { deadAddress, GET, one, type PoolInput, serve, stopAll, use } from "../support/exchange-fixture.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type RawEndpoint, response, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);

function named(name: string): RawEndpoint {
  return use(
    startRawEndpoint((socket, _all, piece) => void (piece.endsWith("\r\n\r\n") && socket.write(response(name)))),
  );
}

async function bodies(balancer: Balancer, count: number, path = "/"): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  for (let index = 0; index < count; index++) {
    const { text } = await sendRaw(balancer.port, GET.replace("/", path.replace("N", String(index))), one);
    const body = statusOf(text) === 200 ? text.slice(text.indexOf("\r\n\r\n") + 4) : String(statusOf(text));
    seen[body] = (seen[body] ?? 0) + 1;
  }
  return seen;
}

const health = { degradedStatus: 429 } as const;

/** `a` and `b` in tier 0, `c` in tier 1. */
function setUp(pool: Partial<PoolInput> = {}) {
  const clock = new FakeClock();
  const [a, b, c] = ["a", "b", "c"].map((name) => named(name).address) as [string, string, string];
  const balancer = serve([a, b, { address: c, tier: 1 }], { health, balance: "round-robin", ...pool }, {}, clock);
  const rows = { a: 0, b: 1, c: 2 };
  const { endpoints: table } = balancer.tables;
  const become = (state: "healthy" | "degraded" | "down", ...names: (keyof typeof rows)[]): void => {
    for (const name of names) {
      table.setDegraded(rows[name], state === "degraded");
      table.setHealthy(rows[name], state !== "down");
    }
    clock.advance(200);
  };
  return { balancer, become, table };
}

describe("one tier after the other", () => {
  test("the healthy ones of all tiers first, then the degraded ones of the first tier, then of the next", async () => {
    const { balancer, become } = setUp();
    become("degraded", "a");
    expect(await bodies(balancer, 8)).toEqual({ b: 8 });
    become("down", "b");
    expect(await bodies(balancer, 8)).toEqual({ c: 8 });
    become("degraded", "c");
    expect(await bodies(balancer, 8)).toEqual({ a: 8 });
    become("down", "a");
    expect(await bodies(balancer, 8)).toEqual({ c: 8 });
    become("down", "c");
    expect(await bodies(balancer, 2)).toEqual({ 503: 2 });
    expect(balancer.inFlight()).toBe(0);
  });

  test("several are balanced over, and keys stay", async () => {
    const { balancer, become } = setUp();
    become("degraded", "a", "b", "c");
    expect(await bodies(balancer, 8)).toEqual({ a: 4, b: 4 });
    const keyed = setUp({ balance: "maglev", key: { query: "k" } });
    keyed.become("degraded", "a", "b", "c");
    const { a = 0, b = 0, ...others } = await bodies(keyed.balancer, 40, "/?k=N");
    expect([a > 0, b > 0, a + b, others]).toEqual([true, true, 40, {}]);
    const again = await bodies(keyed.balancer, 10, "/?k=5");
    expect(Object.values(again)).toEqual([10]);
  });

  test("a retry that has nowhere else to go goes to one that is degraded", async () => {
    const balancer = serve([deadAddress(), named("b").address], { health });
    balancer.tables.endpoints.setDegraded(1, true);
    expect(await bodies(balancer, 5)).toEqual({ b: 5 });
  });

  test("what is full is passed over, and waited for when all are", async () => {
    const slow = use(
      startRawEndpoint((socket, _all, piece) => {
        if (piece.endsWith("\r\n\r\n")) setTimeout(() => socket.write(response("a")), 100);
      }),
    );
    const endpoints = [
      { address: slow.address, maxConnections: 1 },
      { address: named("b").address, maxConnections: 1 },
    ];
    const balancer = serve(endpoints, { health });
    const { endpoints: table } = balancer.tables;
    table.setDegraded(1, true);
    const first = bodies(balancer, 1);
    while (balancer.inFlight() === 0) await Bun.sleep(1);
    expect(await bodies(balancer, 1)).toEqual({ b: 1 });
    expect(await first).toEqual({ a: 1 });
    table.setDegraded(0, true);
    table.setHealthy(1, false);
    const all = await Promise.all(Array.from({ length: 3 }, () => bodies(balancer, 1)));
    expect(all).toEqual([{ a: 1 }, { a: 1 }, { a: 1 }]);
    expect(balancer.tables.metrics.read("pool", 0, POOL.queued)).toBe(2);
  });

  test("sessions stay on an endpoint that becomes degraded", async () => {
    const { balancer, become } = setUp({ sessions: { type: "cookie" } });
    const { text } = await sendRaw(balancer.port, GET, one);
    const cookie = /set-cookie: ([^;]+)/i.exec(text)?.[1] as string;
    const name = text.slice(text.indexOf("\r\n\r\n") + 4) as "a" | "b";
    become("degraded", name);
    for (let time = 0; time < 4; time++) {
      const next = await sendRaw(balancer.port, GET.replace("Host: a", `Host: a\r\nCookie: ${cookie}`), one);
      expect(next.text).toEndWith(`\r\n\r\n${name}`);
    }
    expect(await bodies(balancer, 4)).not.toHaveProperty(name);
  });
});

describe("shared over tiers", () => {
  test("they get what the healthy ones cannot carry", async () => {
    const { balancer, become } = setUp({ overprovisioning: 1.4 });
    become("degraded", "a");
    // One of two times 1.4 carries 70 percent; the next tier has the rest: nothing for those that are degraded.
    expect(await bodies(balancer, 40)).not.toHaveProperty("a");
    become("down", "c");
    const { a = 0, b = 0, ...others } = await bodies(balancer, 300);
    expect([a + b, others]).toEqual([300, {}]);
    expect(b / 300).toBeCloseTo(0.7, 0);
    expect(a).toBeGreaterThan(50);
  });

  test("before panic, of which they are no part", async () => {
    const { balancer, become } = setUp({ panic: {} });
    const panicked = () => balancer.tables.metrics.read("pool", 0, POOL.panicked);
    become("down", "b", "c");
    become("degraded", "a");
    // Half of the tier is available: no panic.
    expect(await bodies(balancer, 10)).toEqual({ a: 10 });
    expect(panicked()).toBe(0);
    become("down", "a");
    expect(Object.keys(await bodies(balancer, 10)).sort()).toEqual(["a", "b"]);
    expect(panicked()).toBe(10);
  });
});

test("after a reload by which nothing can be degraded, nothing is built for it", async () => {
  const { balancer, become } = setUp();
  become("degraded", "a");
  const [a] = [named("a2").address];
  balancer.reload({ listeners: { web: { address: "127.0.0.1:0", pool: "app" } }, pools: { app: { endpoints: [a] } } });
  expect(await bodies(balancer, 3)).toEqual({ a2: 3 });
});
