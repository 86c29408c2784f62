/** Sessions over real sockets, in every mode, from HTTP/1.1 and from HTTP/2. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { type PoolInput, stopAll, use } from "../support/exchange-fixture.ts";

afterEach(stopAll);

type SessionsInput = NonNullable<PoolInput["sessions"]>;

const SECRET = "a secret of sufficient length";
const COUNT = 4;

interface App {
  readonly address: string;
  readonly name: string;
  readonly seen: Request[];
}

/** Endpoints that answer with their name, and with the headers that the request asks for in X-Answer. */
function apps(count = COUNT): App[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `app-${index}`;
    const seen: Request[] = [];
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        seen.push(request);
        const answer = JSON.parse(request.headers.get("x-answer") ?? "[]") as [string, string][];
        return new Response(name, { headers: answer });
      },
    });
    use({ stop: () => server.stop(true) });
    return { name, seen, address: `127.0.0.1:${server.port}` };
  });
}

function configOf(endpoints: readonly App[], sessions: SessionsInput | undefined, pool: Partial<PoolInput> = {}) {
  return {
    listeners: { web: { address: "127.0.0.1:0", pool: "app", trustedProxies: ["127.0.0.1"] } },
    pools: {
      app: {
        balance: "round-robin",
        endpoints: endpoints.map(({ address }) => address),
        ...(sessions === undefined ? {} : { sessions }),
        ...pool,
      },
    },
  } satisfies ConfigInput;
}

function serve(endpoints: readonly App[], sessions: SessionsInput, clock?: FakeClock): Balancer {
  const timing = clock === undefined ? {} : { clock, timers: clock };
  return use(startBalancer(configOf(endpoints, sessions), timing));
}

interface Answer {
  readonly app: string;
  readonly status: number;
  readonly cookies: readonly string[];
  readonly headers: ReadonlyMap<string, string>;
}

type Ask = (port: number, headers?: Record<string, string>, path?: string) => Promise<Answer>;

const askHttp1: Ask = async (port, headers = {}, path = "/") => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { ...headers, Connection: "close" } });
  const { status } = response;
  return {
    app: await response.text(),
    status,
    cookies: response.headers.getSetCookie(),
    headers: new Map(response.headers),
  };
};

const askHttp2: Ask = (port, headers = {}, path = "/") =>
  new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on("error", reject);
    const stream = session.request({ ":path": path, ...headers });
    let app = "";
    let head: Record<string, string | string[] | undefined> = {};
    stream.on("response", (fields) => {
      head = fields as typeof head;
    });
    stream.setEncoding("utf8");
    stream.on("data", (piece: string) => {
      app += piece;
    });
    stream.on("error", reject);
    stream.on("end", () => {
      session.close();
      const entries = Object.entries(head).map(([name, value]) => [name, String(value)] as const);
      const cookies = head["set-cookie"] ?? [];
      resolve({ app, status: Number(head[":status"]), cookies: [cookies].flat(), headers: new Map(entries) });
    });
  });

const cookieValue = (cookie: string | undefined): string => /^[^=]+=([^;]*)/.exec(cookie ?? "")?.[1] ?? "";
const setting = (...lines: [string, string][]) => ({ "X-Answer": JSON.stringify(lines) });
const sessionsOf = ({ tables }: Balancer) => ({
  new: tables.metrics.read("pool", 0, POOL.sessionsNew),
  kept: tables.metrics.read("pool", 0, POOL.sessionsKept),
  moved: tables.metrics.read("pool", 0, POOL.sessionsMoved),
  refused: tables.metrics.read("pool", 0, POOL.sessionsRefused),
});
const indexOf = (endpoints: readonly App[], app: string): number => endpoints.findIndex(({ name }) => name === app);

/** A client that sends back the cookies that it is sent. */
class Browser {
  readonly cookies = new Map<string, string>();
  readonly #ask: Ask;
  readonly #port: number;

  constructor(ask: Ask, port: number) {
    this.#ask = ask;
    this.#port = port;
  }

  async visit(headers: Record<string, string> = {}): Promise<Answer> {
    const jar = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await this.#ask(this.#port, jar === "" ? headers : { ...headers, Cookie: jar });
    for (const cookie of answer.cookies) this.cookies.set(cookie.slice(0, cookie.indexOf("=")), cookieValue(cookie));
    return answer;
  }
}

for (const [version, ask] of [
  ["HTTP/1.1", askHttp1],
  ["HTTP/2", askHttp2],
] as const) {
  describe(`${version}: insert`, () => {
    test("a browser stays where it came to, others are spread", async () => {
      const endpoints = apps();
      const { port, ...balancer } = serve(endpoints, { type: "cookie", secret: SECRET });
      const browsers = Array.from({ length: COUNT }, () => new Browser(ask, port));
      const homes: string[] = [];
      for (const browser of browsers) homes.push((await browser.visit()).app);
      expect(new Set(homes).size).toBe(COUNT);
      for (let round = 0; round < 3; round++)
        for (const [index, browser] of browsers.entries()) {
          const answer = await browser.visit();
          expect(answer.app).toBe(homes[index] as string);
          expect(answer.cookies).toEqual([]);
        }
      expect(sessionsOf({ port, ...balancer })).toEqual({ new: COUNT, kept: 3 * COUNT, moved: 0, refused: 0 });
    });

    test("one whose endpoint goes down moves once, and stays there", async () => {
      const endpoints = apps();
      const balancer = serve(endpoints, { type: "cookie", secret: SECRET });
      const browser = new Browser(ask, balancer.port);
      const { app } = await browser.visit();
      balancer.setEligible("app", indexOf(endpoints, app), false);
      const moved = await browser.visit();
      expect(moved.app).not.toBe(app);
      expect(moved.cookies.length).toBe(1);
      balancer.setEligible("app", indexOf(endpoints, app), true);
      for (let round = 0; round < 3; round++) expect((await browser.visit()).app).toBe(moved.app);
      expect(sessionsOf(balancer)).toEqual({ new: 1, kept: 3, moved: 1, refused: 0 });
    });
  });

  test(`${version}: prefix: the endpoint sees its own cookie, the client one that leads back`, async () => {
    const endpoints = apps();
    const { port } = serve(endpoints, { type: "cookie", mode: "prefix", name: "sid", secret: SECRET });
    const browser = new Browser(ask, port);
    const first = await browser.visit(setting(["Set-Cookie", "sid=a=b~c; Path=/; HttpOnly"], ["Set-Cookie", "x=1"]));
    expect(first.cookies.length).toBe(2);
    expect(first.cookies.find((cookie) => cookie.startsWith("sid="))).toMatch(
      /^sid=[A-Za-z0-9_-]{32}~a=b~c; Path=\/; HttpOnly$/,
    );
    for (let round = 0; round < 3; round++) expect((await browser.visit()).app).toBe(first.app);
    const { seen } = endpoints[indexOf(endpoints, first.app)] as App;
    expect(seen.at(-1)?.headers.get("cookie")?.split("; ").sort()).toEqual(["sid=a=b~c", "x=1"]);
  });

  test(`${version}: rewrite: the value is replaced, its attributes stay`, async () => {
    const endpoints = apps();
    const { port } = serve(endpoints, { type: "cookie", mode: "rewrite", name: "srv", secret: SECRET });
    const browser = new Browser(ask, port);
    const first = await browser.visit(setting(["Set-Cookie", "srv=anything; Path=/shop"]));
    expect(first.cookies).toEqual([expect.stringMatching(/^srv=[A-Za-z0-9_-]{32}; Path=\/shop$/)]);
    for (let round = 0; round < 3; round++) expect((await browser.visit()).app).toBe(first.app);
    expect((await browser.visit(setting(["Set-Cookie", "srv=; Max-Age=0"]))).cookies).toEqual(["srv=; Max-Age=0"]);
  });

  test(`${version}: learn: the value that an endpoint sets leads to it, others do not`, async () => {
    const endpoints = apps();
    const balancer = serve(endpoints, { type: "cookie", mode: "learn", name: "sid" });
    const browser = new Browser(ask, balancer.port);
    const first = await browser.visit(setting(["Set-Cookie", "sid=abc; Path=/"]));
    expect(first.cookies).toEqual(["sid=abc; Path=/"]);
    for (let round = 0; round < 3; round++) expect((await browser.visit()).app).toBe(first.app);
    const others = new Set<string>();
    for (let round = 0; round < COUNT; round++) others.add((await ask(balancer.port, { Cookie: "sid=made-up" })).app);
    expect(others.size).toBe(COUNT);
    expect(sessionsOf(balancer)).toEqual({ new: 1, kept: 3, moved: 0, refused: 0 });
  });

  test(`${version}: a header's value stays with one endpoint`, async () => {
    const endpoints = apps();
    const balancer = serve(endpoints, { type: "header", name: "X-User" });
    const homes = new Map<string, string>();
    for (const user of ["ann", "bob", "cem", "dora"])
      homes.set(user, (await ask(balancer.port, { "X-User": user })).app);
    expect(new Set(homes.values()).size).toBe(4);
    for (const [user, app] of homes) expect((await ask(balancer.port, { "X-User": user })).app).toBe(app);
    await ask(balancer.port);
    expect(sessionsOf(balancer)).toEqual({ new: 4, kept: 4, moved: 0, refused: 0 });
  });
}

test("header, learned: what an endpoint gives out leads back to it", async () => {
  const endpoints = apps();
  const { port } = serve(endpoints, { type: "header", name: "Mcp-Session-Id", learn: true });
  const first = await askHttp1(port, setting(["Mcp-Session-Id", "s-1"]));
  for (let round = 0; round < 3; round++)
    expect((await askHttp1(port, { "mcp-session-id": "s-1" })).app).toBe(first.app);
});

test("an address stays with one endpoint, and the address behind a trusted proxy is what counts", async () => {
  const endpoints = apps();
  const { port } = serve(endpoints, { type: "clientIp" });
  const from = (address: string) => askHttp1(port, { "X-Forwarded-For": address });
  const addresses = Array.from({ length: 8 }, (_, index) => `192.0.2.${index}`);
  const homes = await Promise.all(addresses.map(async (address) => (await from(address)).app));
  expect(new Set(homes).size).toBeGreaterThan(1);
  for (const [index, address] of addresses.entries()) expect((await from(address)).app).toBe(homes[index] as string);
});

describe("the cookie that is inserted", () => {
  const cookieFor = async (sessions: object, headers: Record<string, string> = {}) => {
    const { port } = serve(apps(1), { type: "cookie", secret: SECRET, ...sessions });
    const answer = await askHttp1(port, headers);
    return { line: (answer.cookies[0] ?? "").replace(/=[A-Za-z0-9_-]{32}/, "=T"), answer };
  };
  test("by default it is for the browser's session, hidden from scripts and from shared caches", async () => {
    const { line, answer } = await cookieFor({});
    expect(line).toBe("evenkeel-app=T; Path=/; HttpOnly; SameSite=Lax");
    expect(answer.headers.get("cache-control")).toBe("private");
  });
  test("it is for HTTPS alone when the client came by HTTPS", async () => {
    const { line } = await cookieFor({}, { "X-Forwarded-Proto": "https" });
    expect(line).toBe("evenkeel-app=T; Path=/; HttpOnly; Secure; SameSite=Lax");
  });
  test("every attribute can be set", async () => {
    const { line, answer } = await cookieFor({
      name: "sticky",
      path: "/shop",
      domain: "example.com",
      maxAge: "1h",
      httpOnly: false,
      secure: true,
      sameSite: "none",
      private: false,
    });
    expect(line).toBe("sticky=T; Path=/shop; Domain=example.com; Max-Age=3600; Secure; SameSite=None");
    expect(answer.headers.has("cache-control")).toBeFalse();
  });
  test("one that was changed, made up or of another pool is replaced", async () => {
    const { port } = serve(apps(1), { type: "cookie", secret: SECRET });
    const token = cookieValue((await askHttp1(port)).cookies[0]);
    const forged = `${token.slice(0, 31)}${token.endsWith("A") ? "B" : "A"}`;
    for (const value of [forged, "127.0.0.1:80", "", "A".repeat(4_000)]) {
      const answer = await askHttp1(port, { Cookie: `evenkeel-app=${value}` });
      expect(answer.status).toBe(200);
      expect(answer.cookies.length).toBe(1);
    }
    expect((await askHttp1(port, { Cookie: `a=1; evenkeel-app=${token}; b=2` })).cookies).toEqual([]);
  });
  test("one that lasts is renewed while it is used, and void when it is not", async () => {
    const clock = new FakeClock();
    const { port } = serve(apps(1), { type: "cookie", secret: SECRET, maxAge: "1h" }, clock);
    const browser = new Browser(askHttp1, port);
    await browser.visit();
    const token = browser.cookies.get("evenkeel-app") as string;
    clock.advance(1_700_000);
    expect((await browser.visit()).cookies).toEqual([]);
    clock.advance(200_000);
    expect((await browser.visit()).cookies.length).toBe(1);
    expect(browser.cookies.get("evenkeel-app")).not.toBe(token);
    clock.advance(1_750_000);
    expect((await askHttp1(port, { Cookie: `evenkeel-app=${token}` })).cookies.length).toBe(1);
  });
  test("it goes with an answer that switches protocols", async () => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
      websocket: { message() {} },
    });
    use({ stop: () => server.stop(true) });
    const app = { address: `127.0.0.1:${server.port}`, name: "socket", seen: [] };
    const { port } = serve([app], { type: "cookie", secret: SECRET });
    const { promise, resolve } = Promise.withResolvers<string>();
    const upgrade = `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: { data: (_socket, bytes) => resolve(bytes.toString()) },
    });
    socket.write(upgrade);
    const answer = await promise;
    socket.end();
    expect(answer).toStartWith("HTTP/1.1 101");
    expect(answer).toContain("\r\nSet-Cookie: evenkeel-app=");
  });
});

describe("when the endpoint of a session is not there", () => {
  test("refuse: 503 until it is back, whatever else is there", async () => {
    const endpoints = apps();
    const balancer = serve(endpoints, { type: "cookie", secret: SECRET, onFailure: "refuse" });
    const browser = new Browser(askHttp1, balancer.port);
    const { app } = await browser.visit();
    balancer.setEligible("app", indexOf(endpoints, app), false);
    const refused = await browser.visit();
    expect(refused.status).toBe(503);
    expect(refused.app).toContain("E_SESSION_ENDPOINT");
    expect((await new Browser(askHttp1, balancer.port).visit()).status).toBe(200);
    balancer.setEligible("app", indexOf(endpoints, app), true);
    expect((await browser.visit()).app).toBe(app);
    expect(sessionsOf(balancer)).toEqual({ new: 2, kept: 1, moved: 0, refused: 1 });
    expect(balancer.inFlight()).toBe(0);
  });

  test.each<[string, SessionsInput]>([
    ["cookie", { type: "cookie", secret: SECRET }],
    ["header", { type: "header", name: "X-User" }],
  ])("repin, by %s: one that is gone from the configuration is replaced for good", async (_, sessions) => {
    const endpoints = apps();
    const balancer = serve(endpoints, sessions);
    const browser = new Browser(askHttp1, balancer.port);
    const user = { "X-User": "ann" };
    const { app } = await browser.visit(user);
    const rest = endpoints.filter(({ name }) => name !== app);
    balancer.reload(configOf(rest, sessions));
    const moved = await browser.visit(user);
    expect(moved.app).not.toBe(app);
    balancer.reload(configOf(endpoints, sessions));
    expect((await browser.visit(user)).app).toBe(moved.app);
    expect(sessionsOf(balancer)).toEqual({ new: 1, kept: 1, moved: 1, refused: 0 });
  });

  test("an endpoint that cannot be reached any more costs no request: the next one takes over", async () => {
    const endpoints = apps(2);
    const balancer = serve(endpoints, { type: "header", name: "X-User" });
    const user = { "X-User": "ann" };
    const { app } = await askHttp1(balancer.port, user);
    const other = endpoints.find(({ name }) => name !== app);
    const dead = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const address = `127.0.0.1:${dead.port}`;
    dead.stop(true);
    balancer.reload(configOf([{ address, name: "dead", seen: [] }, other as App], { type: "header", name: "X-User" }));
    const moved = await askHttp1(balancer.port, user);
    expect([moved.status, moved.app]).toEqual([200, other?.name as string]);
    expect((await askHttp1(balancer.port, user)).app).toBe(other?.name as string);
  });
});

test("a reload, with other settings and another secret in front, keeps the sessions", async () => {
  const endpoints = apps();
  const balancer = serve(endpoints, { type: "cookie", secret: SECRET });
  const browser = new Browser(askHttp1, balancer.port);
  const { app } = await browser.visit();
  const both = [`another ${SECRET}`, SECRET];
  balancer.reload(configOf(endpoints, { type: "cookie", secret: both }, { balance: "random" }));
  const renewed = await browser.visit();
  expect(renewed.app).toBe(app);
  expect(renewed.cookies.length).toBe(1);
  balancer.reload(configOf(endpoints, { type: "cookie", secret: both[0] as string }));
  const after = await browser.visit();
  expect([after.app, after.cookies]).toEqual([app, []]);
});

test("a second balancer with the same secret knows the sessions of the first", async () => {
  const endpoints = apps();
  const [first, second] = [0, 1].map(() => serve(endpoints, { type: "cookie", secret: SECRET }));
  for (let client = 0; client < 2 * COUNT; client++) {
    const { app, cookies } = await askHttp1(first?.port as number);
    const answer = await askHttp1(second?.port as number, { Cookie: (cookies[0] as string).split(";")[0] as string });
    expect([answer.app, answer.cookies]).toEqual([app, []]);
  }
});

test("sessions that nobody has a secret for end with their balancer", async () => {
  const endpoints = apps();
  const [first, second] = [0, 1].map(() => serve(endpoints, { type: "cookie" }));
  const { cookies } = await askHttp1(first?.port as number);
  const cookie = { Cookie: (cookies[0] as string).split(";")[0] as string };
  expect((await askHttp1(first?.port as number, cookie)).cookies).toEqual([]);
  expect((await askHttp1(second?.port as number, cookie)).cookies.length).toBe(1);
});

test("a session waits for its own endpoint when that has no place free", async () => {
  const endpoints = apps(2);
  const sessions = { type: "header", name: "X-User" } as const;
  const full = endpoints.map(({ address }) => ({ address, maxConnections: 1 }));
  const balancer = use(startBalancer(configOf(endpoints, sessions, { endpoints: full })));
  const user = { "X-User": "ann" };
  const { app } = await askHttp1(balancer.port, user);
  const answers = await Promise.all(Array.from({ length: 20 }, () => askHttp1(balancer.port, user)));
  expect(answers.map((answer) => answer.app)).toEqual(new Array<string>(20).fill(app));
  expect(balancer.inFlight()).toBe(0);
});

test.each(["repin", "refuse"] as const)(
  "a draining endpoint keeps its sessions until its time is over (%s)",
  async (onFailure) => {
    const endpoints = apps(2);
    const sessions = { type: "header", name: "X-User", onFailure } as const;
    const full = endpoints.map(({ address }) => ({ address, maxConnections: 1 }));
    const balancer = use(startBalancer(configOf(endpoints, sessions, { endpoints: full })));
    const user = { "X-User": "ann" };
    const { app } = await askHttp1(balancer.port, user);
    const row = endpoints.findIndex(({ name }) => name === app);
    balancer.tables.endpoints.setState(row, "drain");
    const answers = await Promise.all(Array.from({ length: 20 }, () => askHttp1(balancer.port, user)));
    expect(answers.map((answer) => answer.app)).toEqual(new Array<string>(20).fill(app));
    for (let round = 0; round < 4; round++) expect((await askHttp1(balancer.port)).app).not.toBe(app);
    balancer.tables.endpoints.setDrained(row);
    const after = await askHttp1(balancer.port, user);
    if (onFailure === "repin") expect([after.status, after.app]).toEqual([200, `app-${1 - row}`]);
    else expect([after.status, after.app]).toEqual([503, expect.stringContaining("E_SESSION_ENDPOINT")]);
    expect(balancer.inFlight()).toBe(0);
  },
);

test("an endpoint of weight 0 keeps the sessions that it has, and gets no new ones", async () => {
  const endpoints = apps(2);
  const sessions = { type: "cookie", secret: SECRET } as const;
  const balancer = serve(endpoints, sessions);
  const browser = new Browser(askHttp1, balancer.port);
  const { app } = await browser.visit();
  const weighted = endpoints.map(({ address, name }) => ({ address, weight: name === app ? 0 : 1 }));
  balancer.reload(configOf(endpoints, sessions, { balance: "weighted-round-robin", endpoints: weighted }));
  for (let round = 0; round < 4; round++) {
    expect((await browser.visit()).app).toBe(app);
    expect((await askHttp1(balancer.port)).app).not.toBe(app);
  }
});

test("a pool without sessions sets and reads nothing", async () => {
  const balancer = use(startBalancer(configOf(apps(), undefined)));
  const { cookies, headers } = await askHttp1(balancer.port, { Cookie: "evenkeel-app=x" });
  expect(cookies).toEqual([]);
  expect(headers.has("cache-control")).toBeFalse();
  expect(sessionsOf(balancer)).toEqual({ new: 0, kept: 0, moved: 0, refused: 0 });
});
