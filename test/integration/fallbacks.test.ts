/** Where requests go when endpoints are missing: other tiers, all endpoints, another pool, an answer that says sorry. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import {
  deadAddress,
  GET,
  one,
  type PoolInput,
  reasons,
  serve,
  settle,
  stopAll,
  use,
} from "../support/exchange-fixture.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type RawEndpoint, response, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);

/** Answers with its name. */
function named(name: string): RawEndpoint {
  return use(
    startRawEndpoint((socket, _all, piece) => void (piece.endsWith("\r\n\r\n") && socket.write(response(name)))),
  );
}

/** How often each body came back, failures by their status. */
async function bodies(balancer: Balancer, count: number): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  for (let index = 0; index < count; index++) {
    const { text } = await sendRaw(balancer.port, GET, one);
    const body = statusOf(text) === 200 ? text.slice(text.indexOf("\r\n\r\n") + 4) : String(statusOf(text));
    seen[body] = (seen[body] ?? 0) + 1;
  }
  return seen;
}

function poolCount({ tables }: Balancer, field: keyof typeof POOL, row = 0): number {
  return tables.metrics.read("pool", row, POOL[field]);
}

describe("tiers", () => {
  const setUp = (pool: Partial<PoolInput>) => {
    const clock = new FakeClock();
    const first = Array.from({ length: 4 }, () => named("main").address);
    const balancer = serve([...first, { address: named("backup").address, tier: 1 }], pool, {}, clock);
    const takeOut = (...indexes: number[]): void => {
      for (const index of indexes) balancer.setEligible("app", index, false);
      clock.advance(200);
    };
    return { balancer, takeOut };
  };

  test("a backup gets its part as soon as the others cannot carry everything", async () => {
    const { balancer, takeOut } = setUp({ overprovisioning: 1.4 });
    takeOut(0);
    // 3 of 4 times 1.4 is more than all.
    expect(await bodies(balancer, 40)).toEqual({ main: 40 });
    takeOut(1);
    const { main = 0, backup = 0 } = await bodies(balancer, 200);
    expect(main + backup).toBe(200);
    // 2 of 4 times 1.4: 70 percent.
    expect(main / 200).toBeCloseTo(0.7, 0);
    expect(backup).toBeGreaterThan(30);
    takeOut(2, 3);
    expect(await bodies(balancer, 20)).toEqual({ backup: 20 });
  });

  test("keys stay with their tier", async () => {
    const { balancer, takeOut } = setUp({ overprovisioning: 1.4, balance: "maglev", key: { query: "k" } });
    takeOut(0, 1);
    const ask = async (key: number): Promise<string> => {
      const { text } = await sendRaw(balancer.port, `GET /?k=${key} HTTP/1.1\r\nHost: a\r\n\r\n`, one);
      return text.slice(text.indexOf("\r\n\r\n") + 4);
    };
    const once = await Promise.all(Array.from({ length: 60 }, (_, key) => ask(key)));
    const twice = await Promise.all(Array.from({ length: 60 }, (_, key) => ask(key)));
    expect(twice).toEqual(once);
    expect(new Set(once)).toEqual(new Set(["main", "backup"]));
  });

  test("without it one endpoint is enough to keep the backup idle", async () => {
    const { balancer, takeOut } = setUp({});
    takeOut(0, 1, 2);
    expect(await bodies(balancer, 20)).toEqual({ main: 20 });
  });
});

describe("panic", () => {
  const setUp = (panic: PoolInput["panic"]) => {
    const clock = new FakeClock();
    const endpoints = ["a", "b", "c"].map((name) => named(name).address);
    const balancer = serve(endpoints, { panic, balance: "round-robin" }, {}, clock);
    const takeOut = (...indexes: number[]): void => {
      for (const index of indexes) balancer.setEligible("app", index, false);
      clock.advance(200);
    };
    return { balancer, takeOut };
  };

  test("with fewer than half available, requests go to all", async () => {
    const { balancer, takeOut } = setUp({});
    takeOut(0);
    expect(Object.keys(await bodies(balancer, 12)).sort()).toEqual(["b", "c"]);
    expect(poolCount(balancer, "panicked")).toBe(0);
    takeOut(1);
    expect(await bodies(balancer, 12)).toEqual({ a: 4, b: 4, c: 4 });
    expect(poolCount(balancer, "panicked")).toBe(12);
    expect(balancer.inFlight()).toBe(0);
  });

  test("with none: all are tried, or none", async () => {
    for (const [failOpen, expected] of [
      [true, { a: 4, b: 4, c: 4 }],
      [false, { 503: 12 }],
    ] as const) {
      const { balancer, takeOut } = setUp({ failOpen });
      takeOut(0, 1, 2);
      expect(await bodies(balancer, 12)).toEqual(expected);
    }
  });

  test("with none, also where there is no other threshold", async () => {
    const { balancer, takeOut } = setUp({ threshold: 0 });
    takeOut(0, 1);
    expect(await bodies(balancer, 4)).toEqual({ c: 4 });
    takeOut(2);
    expect(await bodies(balancer, 6)).toEqual({ a: 2, b: 2, c: 2 });
  });

  test("what operators have taken out stays out", async () => {
    const { balancer, takeOut } = setUp({});
    takeOut(0, 1, 2);
    balancer.tables.endpoints.setState(0, "maintenance");
    balancer.tables.endpoints.setState(1, "drain");
    expect(await bodies(balancer, 6)).toEqual({ c: 6 });
  });

  test("a retry goes elsewhere", async () => {
    const balancer = serve([deadAddress(), named("a").address, named("b").address], { panic: {}, balance: "first" });
    for (const index of [0, 1, 2]) balancer.setEligible("app", index, false);
    expect(await bodies(balancer, 5)).toEqual({ a: 5 });
  });
});

describe("another pool", () => {
  function withFallback(main: PoolInput, other: PoolInput, third?: PoolInput): Balancer {
    const pools = { app: { ...main, fallback: "other" }, other, ...(third === undefined ? {} : { third }) };
    const config: ConfigInput = { listeners: { web: { address: "127.0.0.1:0", pool: "app" } }, pools };
    return use(startBalancer(config));
  }

  test("takes what the first has no endpoint for", async () => {
    const balancer = withFallback({ endpoints: [named("main").address] }, { endpoints: [named("other").address] });
    expect(await bodies(balancer, 3)).toEqual({ main: 3 });
    balancer.setEligible("app", 0, false);
    expect(await bodies(balancer, 3)).toEqual({ other: 3 });
    expect(poolCount(balancer, "fellBack")).toBe(3);
    expect(reasons(balancer)).toEqual([]);
  });

  test("takes what could not be connected, with tries of its own", async () => {
    const balancer = withFallback(
      { endpoints: [deadAddress(), deadAddress()] },
      { endpoints: [deadAddress(), named("other").address], balance: "first", retry: { header: true } },
    );
    const { text } = await sendRaw(
      balancer.port,
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
      one,
    );
    expect(statusOf(text)).toBe(200);
    expect(text).toContain("X-Evenkeel-Attempts: 4\r\n");
  });

  test("is left alone by requests that an endpoint has seen", async () => {
    const dies = use(startRawEndpoint((socket) => socket.reset()));
    const balancer = withFallback(
      { endpoints: [dies.address], retry: { attempts: 0 } },
      { endpoints: [named("other").address] },
    );
    expect(await bodies(balancer, 1)).toEqual({ 502: 1 });
  });

  test("and another one, until there is none left; what was held is given back", async () => {
    const balancer = withFallback(
      { endpoints: [deadAddress()], limits: { active: 5 }, sorry: { status: 200, body: "sorry" } },
      { endpoints: [deadAddress()], limits: { active: 5 }, fallback: "third" },
      { endpoints: [deadAddress()] },
    );
    expect(await bodies(balancer, 2)).toEqual({ sorry: 2 });
    expect(reasons(balancer)).toEqual(["E_CONNECT_FAILED", "E_CONNECT_FAILED"]);
    const counters = balancer.tables.resilience.pools(0);
    expect([0, 1].map((row) => counters.usage.read(counters.limits(row) + 1))).toEqual([0, 0]);
  });

  test("takes what the first has no room for", async () => {
    const held: { write(text: string): void }[] = [];
    const slow = use(startRawEndpoint((socket) => void held.push(socket)));
    const balancer = withFallback(
      { endpoints: [{ address: slow.address, maxConnections: 1 }], queue: { size: 0 } },
      { endpoints: [named("other").address] },
    );
    const first = sendRaw(balancer.port, GET, one);
    await settle();
    expect(await bodies(balancer, 2)).toEqual({ other: 2 });
    held[0]?.write(response("main"));
    expect(statusOf((await first).text)).toBe(200);
  });
});

describe("saying sorry", () => {
  const sorry = {
    status: 503,
    body: "<h1>back soon</h1>",
    headers: { "Content-Type": "text/html", "Retry-After": "60" },
  };

  test("instead of an error, with the reason in the log all the same", async () => {
    const balancer = serve([deadAddress()], { sorry });
    const { text } = await sendRaw(balancer.port, GET, one);
    expect(statusOf(text)).toBe(503);
    expect(text).toContain("Content-Type: text/html\r\n");
    expect(text).toContain("Retry-After: 60\r\n");
    expect(text).toEndWith("<h1>back soon</h1>");
    expect(reasons(balancer)).toEqual(["E_CONNECT_FAILED"]);
  });

  test("not for what the client did wrong, and not to gRPC", async () => {
    const balancer = serve([deadAddress()], { sorry });
    expect(statusOf((await sendRaw(balancer.port, "GET /%2e%2e/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")).text)).toBe(
      400,
    );
    const call = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    const { text } = await sendRaw(balancer.port, call, one);
    expect(text).toContain("grpc-status: 14\r\n");
  });
});
