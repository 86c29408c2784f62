/** Sessions where endpoints are kept back: by circuits, ejections, panic, and with a fallback pool. On the fake clock. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { deadAddress, type PoolInput, reasons, settle, stopAll, use } from "../support/exchange-fixture.ts";

afterEach(stopAll);

const SECRET = "a secret of sufficient length";

interface App {
  readonly address: string;
  readonly name: string;
  status: number;
  /** Requests wait until this is over. */
  held: Promise<unknown> | undefined;
  cookies: string;
  stop(): Promise<void>;
}

function apps(count: number, prefix = "app"): App[] {
  return Array.from({ length: count }, (_, index) => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        app.cookies = request.headers.get("cookie") ?? "";
        await app.held;
        const headers = new Headers((JSON.parse(request.headers.get("x-set") ?? "[]") as [string, string][]) ?? []);
        return new Response(app.name, { status: app.status, headers });
      },
    });
    use({ stop: () => server.stop(true) });
    const address = `127.0.0.1:${server.port}`;
    const app: App = {
      name: `${prefix}-${index}`,
      address,
      status: 200,
      held: undefined,
      cookies: "",
      stop: () => server.stop(true),
    };
    return app;
  });
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly cookies: readonly string[];
}

/** A client that sends back the cookies that it is sent. */
class Browser {
  readonly cookies = new Map<string, string>();
  readonly #port: number;

  constructor({ port }: Balancer) {
    this.#port = port;
  }

  async visit(headers: Record<string, string> = {}): Promise<Answer> {
    const Cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(`http://127.0.0.1:${this.#port}/`, {
      headers: { ...headers, ...(Cookie === "" ? {} : { Cookie }), Connection: "close" },
    });
    const cookies = response.headers.getSetCookie();
    for (const cookie of cookies) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      this.cookies.set(name, value);
    }
    return { status: response.status, body: await response.text(), cookies };
  }

  async bodies(count: number): Promise<string[]> {
    const seen: string[] = [];
    for (let index = 0; index < count; index++) seen.push((await this.visit()).body);
    return seen;
  }
}

const cookieSessions = (onFailure: "repin" | "refuse") => ({ type: "cookie", secret: SECRET, onFailure }) as const;

function setUp(
  endpoints: readonly App[],
  onFailure: "repin" | "refuse",
  pool: Partial<PoolInput>,
  more: ConfigInput["pools"] = {},
) {
  const clock = new FakeClock();
  const app: PoolInput = {
    balance: "round-robin",
    endpoints: endpoints.map(({ address }) => address),
    sessions: cookieSessions(onFailure),
    ...pool,
  };
  const config: ConfigInput = { listeners: { web: { address: "127.0.0.1:0", pool: "app" } }, pools: { app, ...more } };
  const balancer = use(startBalancer(config, { clock, timers: clock }));
  const count = (field: keyof typeof POOL, row = 0): number => balancer.tables.metrics.read("pool", row, POOL[field]);
  const takeOut = (...taken: readonly App[]): void => {
    for (const [index, each] of endpoints.entries())
      if (taken.includes(each)) balancer.setEligible("app", index, false);
    clock.advance(200);
  };
  return { balancer, clock, count, takeOut, browser: new Browser(balancer) };
}

const named = (endpoints: readonly App[], name: string): App => endpoints.find((app) => app.name === name) as App;
const others = (endpoints: readonly App[], one: App): App[] => endpoints.filter((app) => app !== one);

/** Its home, after its circuit has opened under it. */
async function openCircuit(endpoints: readonly App[], browser: Browser): Promise<App> {
  const home = named(endpoints, (await browser.visit()).body);
  home.status = 500;
  for (let failure = 0; failure < 3; failure++) expect((await browser.visit()).status).toBe(500);
  home.status = 200;
  return home;
}

const circuitBreaker = { consecutiveFailures: 3, openFor: "10s", trials: 1 } as const;

describe("a circuit that opens under a session", () => {
  test("repin: the session moves, and stays where it went when the circuit closes", async () => {
    const endpoints = apps(3);
    const { browser, clock, count } = setUp(endpoints, "repin", { circuitBreaker });
    const home = await openCircuit(endpoints, browser);
    const moved = await browser.visit();
    expect(moved.status).toBe(200);
    expect(moved.body).not.toBe(home.name);
    clock.advance(10_000);
    expect(new Set(await browser.bodies(4))).toEqual(new Set([moved.body]));
    expect([count("sessionsMoved"), count("sessionsKept")]).toEqual([1, 7]);
  });

  test("refuse: it is refused, and has its endpoint again when that is tried", async () => {
    const endpoints = apps(3);
    const { browser, clock, count, balancer } = setUp(endpoints, "refuse", { circuitBreaker });
    const home = await openCircuit(endpoints, browser);
    const refused = await browser.visit();
    expect([refused.status, refused.cookies]).toEqual([503, []]);
    expect(refused.body).toContain("E_SESSION_ENDPOINT");
    expect((await new Browser(balancer).visit()).status).toBe(200);
    clock.advance(10_000);
    expect(await browser.bodies(3)).toEqual([home.name, home.name, home.name]);
    expect(count("sessionsRefused")).toBe(1);
    expect(balancer.inFlight()).toBe(0);
  });

  test.each(["repin", "refuse"] as const)("%s: nobody waits for its places while it is full", async (onFailure) => {
    const endpoints = apps(2);
    const full = endpoints.map(({ address }) => ({ address, maxConnections: 1 }));
    const { browser, balancer } = setUp(endpoints, onFailure, { circuitBreaker, endpoints: full });
    const home = await openCircuit(endpoints, browser);
    balancer.tables.endpoints.acquire(endpoints.indexOf(home), 0);
    const answer = await browser.visit();
    expect(answer.status).toBe(onFailure === "repin" ? 200 : 503);
    expect(balancer.tables.metrics.read("pool", 0, POOL.queued)).toBe(0);
  });

  test("refuse: nor for places on endpoints of others", async () => {
    const endpoints = apps(2);
    const full = endpoints.map(({ address }) => ({ address, maxConnections: 1 }));
    const { browser, balancer, count } = setUp(endpoints, "refuse", { circuitBreaker, endpoints: full });
    const home = await openCircuit(endpoints, browser);
    balancer.tables.endpoints.acquire(endpoints.indexOf(others(endpoints, home)[0] as App), 0);
    expect((await browser.visit()).status).toBe(503);
    expect(count("queued")).toBe(0);
  });
});

test("without sessions too: an endpoint that is full and has an open circuit is not waited for", async () => {
  const [app] = apps(1) as [App];
  const { browser, balancer, count } = setUp([app], "repin", {
    circuitBreaker,
    endpoints: [{ address: app.address, maxConnections: 1 }],
    sessions: undefined,
  });
  app.status = 500;
  for (let failure = 0; failure < 3; failure++) await browser.visit();
  balancer.tables.endpoints.acquire(0, 0);
  const answer = await browser.visit();
  expect([answer.status, count("queued")]).toEqual([503, 0]);
  expect(reasons(balancer)).toEqual(["E_CIRCUIT_OPEN"]);
});

test("the circuit of the whole pool refuses sessions like anybody, and they are where they were after it", async () => {
  const endpoints = apps(3);
  const { browser, clock } = setUp(endpoints, "repin", { circuitBreaker: { ...circuitBreaker, scope: "pool" } });
  const home = await openCircuit(endpoints, browser);
  expect((await browser.visit()).body).toContain("E_CIRCUIT_OPEN");
  clock.advance(10_000);
  expect(await browser.bodies(2)).toEqual([home.name, home.name]);
});

describe("an endpoint that is ejected", () => {
  test.each(["repin", "refuse"] as const)("%s", async (onFailure) => {
    const endpoints = apps(3);
    const { browser, balancer, count } = setUp(endpoints, onFailure, {});
    const home = named(endpoints, (await browser.visit()).body);
    const row = endpoints.indexOf(home);
    balancer.tables.endpoints.setEjected(row, true);
    const without = await browser.visit();
    expect(without.status).toBe(onFailure === "repin" ? 200 : 503);
    expect(without.body).not.toBe(home.name);
    balancer.tables.endpoints.setEjected(row, false);
    const after = onFailure === "repin" ? without.body : home.name;
    expect(await browser.bodies(3)).toEqual([after, after, after]);
    expect([count("sessionsMoved"), count("sessionsRefused")]).toEqual(onFailure === "repin" ? [1, 0] : [0, 1]);
  });
});

describe("panic", () => {
  const panic = { threshold: 50, failOpen: true };

  test.each(["repin", "refuse"] as const)(
    "%s: sessions stay on their endpoints, as unwell as they are",
    async (onFailure) => {
      const endpoints = apps(4);
      const { browser, takeOut, count, balancer } = setUp(endpoints, onFailure, { panic });
      const { body: home } = await browser.visit();
      takeOut(...endpoints);
      expect(await browser.bodies(6)).toEqual(new Array<string>(6).fill(home));
      expect([count("sessionsKept"), count("sessionsMoved"), count("panicked")]).toEqual([6, 0, 6]);
      const strangers = new Set<string>();
      for (let index = 0; index < 8; index++) strangers.add((await new Browser(balancer).visit()).body);
      expect(strangers.size).toBe(4);
      expect(balancer.inFlight()).toBe(0);
    },
  );

  test("while enough are left, a session leaves one that is not well", async () => {
    const endpoints = apps(4);
    const { browser, takeOut } = setUp(endpoints, "repin", { panic });
    const home = named(endpoints, (await browser.visit()).body);
    takeOut(home);
    expect((await browser.visit()).body).not.toBe(home.name);
  });

  test("one that was taken out by somebody stays out", async () => {
    const endpoints = apps(4);
    const { browser, takeOut, balancer } = setUp(endpoints, "repin", { panic });
    const home = named(endpoints, (await browser.visit()).body);
    balancer.tables.endpoints.setState(endpoints.indexOf(home), "maintenance");
    takeOut(...endpoints);
    const moved = await browser.visit();
    expect(moved.status).toBe(200);
    expect(moved.body).not.toBe(home.name);
  });

  test("failOpen: false refuses sessions with all the others", async () => {
    const endpoints = apps(2);
    const { browser, takeOut } = setUp(endpoints, "repin", { panic: { threshold: 50, failOpen: false } });
    await browser.visit();
    takeOut(...endpoints);
    expect((await browser.visit()).body).toContain("E_NO_ENDPOINT");
  });
});

describe("a fallback pool with sessions of its own", () => {
  const start = (onFailure: "repin" | "refuse", pool: Partial<PoolInput> = {}) => {
    const [main, spare] = [apps(3), apps(3, "spare")];
    const fallback: PoolInput = {
      balance: "round-robin",
      endpoints: spare.map(({ address }) => address),
      sessions: cookieSessions("repin"),
    };
    return { main, spare, ...setUp(main, onFailure, { fallback: "spare", ...pool }, { spare: fallback }) };
  };

  test("both sessions live side by side, and the first one goes on when its pool is back", async () => {
    const { main, browser, takeOut, balancer, count } = start("repin");
    const { body: home } = await browser.visit();
    takeOut(...main);
    const first = await browser.visit();
    expect(first.body).toStartWith("spare");
    expect(first.cookies.map((cookie) => cookie.split("=")[0])).toEqual(["evenkeel-spare"]);
    expect(await browser.bodies(3)).toEqual([first.body, first.body, first.body]);
    for (let index = 0; index < main.length; index++) balancer.setEligible("app", index, true);
    expect(await browser.bodies(2)).toEqual([home, home]);
    takeOut(...main);
    expect(await browser.bodies(2)).toEqual([first.body, first.body]);
    expect([count("sessionsNew", 1), count("sessionsKept", 1), count("sessionsMoved", 0)]).toEqual([1, 5, 0]);
  });

  test("refuse: who belongs to an endpoint is not sent to strangers, whatever is the matter with it; others are", async () => {
    const { main, browser, balancer, takeOut, count } = start("refuse", { circuitBreaker });
    const home = await openCircuit(main, browser);
    expect((await browser.visit()).body).toContain("E_SESSION_ENDPOINT");
    takeOut(home);
    expect((await browser.visit()).body).toContain("E_SESSION_ENDPOINT");
    takeOut(...main);
    expect((await browser.visit()).body).toContain("E_SESSION_ENDPOINT");
    expect((await new Browser(balancer).visit()).body).toStartWith("spare");
    expect([count("sessionsRefused"), count("fellBack")]).toEqual([3, 1]);
  });

  test("refuse: not even when its endpoint takes no connections", async () => {
    const { main, browser, count } = start("refuse");
    const home = named(main, (await browser.visit()).body);
    await home.stop();
    const answer = await browser.visit();
    expect([answer.status, count("retries"), count("fellBack")]).toEqual([502, 1, 0]);
  });

  test("refuse: nor when no place on it becomes free in time", async () => {
    const { main, browser, balancer, clock } = start("refuse", { queue: { timeout: "1s" } });
    const home = named(main, (await browser.visit()).body);
    const row = main.indexOf(home);
    const endpoints = main.map(({ address }, index) => ({ address, maxConnections: index === row ? 1 : 0 }));
    const config = (list: PoolInput["endpoints"]): ConfigInput => ({
      listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
      pools: {
        app: {
          endpoints: list,
          fallback: "spare",
          queue: { timeout: "1s" },
          sessions: cookieSessions("refuse"),
        },
        spare: { endpoints: [deadAddress()] },
      },
    });
    balancer.reload(config(endpoints));
    balancer.tables.endpoints.acquire(row, 0);
    const waiting = browser.visit();
    await settle();
    clock.advance(1_100);
    expect((await waiting).body).toContain("E_QUEUE_TIMEOUT");
    balancer.tables.endpoints.release(row, 0);
    expect((await browser.visit()).body).toBe(home.name);
  });

  test("the pool's own limits come before sessions: what goes beyond them goes to the other pool", async () => {
    const { main, browser, balancer, count } = start("refuse", { limits: { active: 1 } });
    const home = named(main, (await browser.visit()).body);
    const { promise, resolve } = Promise.withResolvers<void>();
    home.held = promise;
    const held = browser.visit();
    while (balancer.inFlight() === 0) await settle();
    expect((await browser.visit()).body).toStartWith("spare");
    resolve();
    expect((await held).body).toBe(home.name);
    expect(count("fellBack")).toBe(1);
  });

  test("prefix in both: each pool's endpoints see their own cookie as they have set it, without any mark", async () => {
    const prefix = (name: string) => ({ type: "cookie", mode: "prefix", name, secret: SECRET }) as const;
    const [main, spare] = [apps(1), apps(1, "spare")];
    const second: PoolInput = { endpoints: [spare[0]!.address], sessions: prefix("fid") };
    const pools = { spare: second };
    const { browser, takeOut } = setUp(main, "repin", { fallback: "spare", sessions: prefix("sid") }, pools);
    await browser.visit({ "X-Set": JSON.stringify([["Set-Cookie", "sid=one"]]) });
    takeOut(...main);
    await browser.visit({ "X-Set": JSON.stringify([["Set-Cookie", "fid=two"]]) });
    expect([...browser.cookies.values()].every((value) => /^[A-Za-z0-9_-]{32}~(one|two)$/.test(value))).toBeTrue();
    await browser.visit();
    expect(spare[0]!.cookies.split("; ").sort()).toEqual(["fid=two", "sid=one"]);
  });
});
