/** What endpoints and their agents say of themselves, with real sockets: who gets requests then, and what is shown of it. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "bun";
import type { ConfigInput } from "../../src/config/schema.ts";
import { eventually } from "../support/process.ts";
import { type Supervised, startSupervised } from "../support/supervised.ts";

type Pools = NonNullable<ConfigInput["pools"]>;

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** Answers with its name; checks ask for /health, and get what `status` and `headers` say. */
function endpoint(name: string) {
  const self = { status: 200, headers: {} as Record<string, string>, address: "", checks: 0 };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      if (new URL(request.url).pathname !== "/health") return new Response(name);
      self.checks++;
      return new Response("", { status: self.status, headers: self.headers });
    },
  });
  stops.push(() => server.stop(true));
  self.address = `127.0.0.1:${server.port}`;
  return self;
}

/** Speaks as soon as it is connected to; says nothing while its line is undefined. */
function agent(line: string | undefined) {
  const self = { line, asked: 0, port: 0, stop: () => {} };
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket: Socket) {
        self.asked++;
        if (self.line !== undefined) socket.end(self.line);
      },
      data() {},
      error() {},
    },
  });
  self.port = server.port;
  self.stop = () => server.stop(true);
  stops.push(self.stop);
  return self;
}

const http = {
  type: "http",
  path: "/health",
  interval: "100ms",
  transitionInterval: "50ms",
  unhealthyAfter: 2,
} as const;

async function start(pools: Pools): Promise<Supervised> {
  const started = await startSupervised(config(pools));
  stops.push(() => started.stop());
  return started;
}

const config = (pools: Pools): ConfigInput => ({ listeners: { web: { address: "127.0.0.1:0", pool: "app" } }, pools });

async function answers(to: Supervised, count: number): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  for (let index = 0; index < count; index++) {
    const response = await fetch(`http://127.0.0.1:${to.port}/`);
    const text = response.ok
      ? await response.text()
      : `${response.status} ${(await response.text()).match(/E_\w+/)?.[0]}`;
    seen[text] = (seen[text] ?? 0) + 1;
  }
  return seen;
}

// biome-ignore lint/suspicious/noExplicitAny: what the API answers is looked into by the test.
const shown = async (to: Supervised, of: { address: string }, pool = "app"): Promise<any> =>
  (await to.api("GET", `pools/${pool}/endpoints/${encodeURIComponent(of.address)}`)).body;
const untilShown = (to: Supervised, of: { address: string }, wanted: object): Promise<void> =>
  eventually(async () => Bun.deepMatch(wanted, await shown(to, of)), JSON.stringify(wanted));
const events = (to: Supervised): string[] => to.supervisor.events.since(0).events.map(({ type }) => type);

describe("degraded endpoints", () => {
  const health = { ...http, degradedStatus: 429 };

  test("come last, are shown as such, and are healthy again when they say so", async () => {
    const [a, b] = [endpoint("a"), endpoint("b")];
    const to = await start({ app: { endpoints: [a.address, b.address], health } });
    a.status = 429;
    await untilShown(to, a, { health: "degraded", usable: true, reason: "degraded: status 429", against: [] });
    expect(await answers(to, 6)).toEqual({ b: 6 });
    expect((await to.api("GET", "pools/app")).body).toMatchObject({ usable: 2, degraded: 1 });
    const { checks } = await shown(to, a);
    expect(checks.at(-1)).toMatchObject({ passed: true, degraded: true, reason: "degraded: status 429" });
    b.status = 500;
    await untilShown(to, b, { health: "unhealthy" });
    expect(await answers(to, 6)).toEqual({ a: 6 });
    a.status = 200;
    await untilShown(to, a, { health: "healthy", reason: "degraded no longer" });
    expect(events(to).filter((type) => type !== "config.reloaded")).toEqual([
      "endpoint.up",
      "endpoint.up",
      "endpoint.degraded",
      "endpoint.down",
      "endpoint.up",
    ]);
  });

  test("stay so over a reload, and over one that changes how they are checked", async () => {
    const [a, b] = [endpoint("a"), endpoint("b")];
    const app = { endpoints: [a.address, b.address], health };
    const to = await start({ app });
    a.status = 429;
    await untilShown(to, a, { health: "degraded" });
    await to.reload(config({ app, other: { endpoints: ["127.0.0.1:1"] } }));
    expect(await answers(to, 4)).toEqual({ b: 4 });
    await to.reload(config({ app: { ...app, health: { ...health, interval: "150ms" } } }));
    expect(await answers(to, 4)).toEqual({ b: 4 });
    await untilShown(to, a, { health: "degraded" });
    // The status is nothing special any more: it fails.
    await to.reload(config({ app: { ...app, health: http } }));
    await untilShown(to, a, { health: "unhealthy", reason: "2 checks failed: status 429" });
    expect(await answers(to, 4)).toEqual({ b: 4 });
    await to.reload(config({ app: { ...app, health: false } }));
    expect(Object.keys(await answers(to, 20)).sort()).toEqual(["a", "b"]);
  });

  test("a header says what an agent would", async () => {
    const [a, b] = [endpoint("a"), endpoint("b")];
    a.headers = { "X-Health-Agent": "drain#too warm" };
    const to = await start({
      app: { endpoints: [a.address, b.address], health: { ...http, agentHeader: "X-Health-Agent" } },
    });
    const reason = "drained by its agent, which says drain: too warm";
    await untilShown(to, a, { health: "healthy", usable: false, reason });
    expect(await answers(to, 4)).toEqual({ b: 4 });
    a.headers = { "X-Health-Agent": "ready" };
    await untilShown(to, a, { usable: true });
  });
});

test("an endpoint that asks for it is left alone once it is down", async () => {
  const a = endpoint("a");
  a.status = 503;
  a.headers = { "Retry-After": "3600" };
  const to = await start({ app: { endpoints: [a.address], health: http } });
  const reason = "2 checks failed: status 503, not to be asked again for 5m";
  await untilShown(to, a, { health: "unhealthy", reason });
  const { checks } = a;
  await Bun.sleep(400);
  expect(a.checks).toBe(checks);
});

describe("agents", () => {
  const beside = (port: number) => ({ ...http, agent: { port, interval: "100ms", timeout: "100ms" } });

  test("drain, weigh and stop their endpoint, and give it back", async () => {
    const [a, b] = [endpoint("a"), endpoint("b")];
    const says = agent("up ready 100%\n");
    // One agent for both: they are on one machine.
    const to = await start({
      app: { endpoints: [a.address, b.address], balance: "weighted-round-robin", health: beside(says.port) },
    });
    await untilShown(to, a, { usable: true, agent: { says: "up ready 100%" } });
    says.line = "50%\n";
    await untilShown(to, a, { usable: true, weight: 1, effectiveWeight: 0.5 });
    says.line = "drain#backup\n";
    await untilShown(to, a, {
      usable: false,
      state: "ready",
      reason: "drained by its agent, which says drain: backup",
      agent: { says: "drain", reason: "backup", state: "drain", weightPercent: 50, problem: "" },
    });
    expect(await answers(to, 2)).toEqual({ "503 E_NO_ENDPOINT": 2 });
    says.line = "down\n";
    await untilShown(to, a, {
      health: "unhealthy",
      against: ["its agent says down", "drained by its agent, which says down"],
    });
    says.line = "up ready\n";
    await untilShown(to, a, { usable: true });
    await untilShown(to, b, { usable: true });
    expect(Object.keys(await answers(to, 10)).sort()).toEqual(["a", "b"]);
  });

  test("their last word holds while they hang, talk nonsense or are gone, and the status says so", async () => {
    const a = endpoint("a");
    const says = agent("drain\n");
    const to = await start({ app: { endpoints: [a.address], health: beside(says.port) } });
    await untilShown(to, a, { usable: false, agent: { state: "drain" } });
    const holds = (problem: string) => ({
      usable: false,
      health: "healthy",
      reason: `drained by its agent, which cannot be heard (${problem}), its last words hold: drain`,
      agent: { says: "drain", problem },
    });
    says.line = undefined;
    await untilShown(to, a, holds("no answer in time"));
    says.line = "x".repeat(1_048_576);
    await untilShown(to, a, holds("the agent's line is longer than 1024 bytes"));
    says.line = "";
    await untilShown(to, a, holds("the agent closed the connection without a word"));
    says.line = "hello\n";
    await eventually(async () => (await shown(to, a)).agent.problem.startsWith('the agent says "hello"'), "nonsense");
    says.stop();
    await untilShown(to, a, holds(`connecting to 127.0.0.1:${says.port} failed`));
    // Once when it drained, once when it fell silent.
    expect(events(to).filter((type) => type === "endpoint.agent")).toHaveLength(2);
  });

  test("do not undo what an operator has decided, nor does he what they say", async () => {
    const a = endpoint("a");
    const says = agent("drain\n");
    const to = await start({ app: { endpoints: [a.address], health: beside(says.port) } });
    const change = (state: string) =>
      to.api("PATCH", `pools/app/endpoints/${encodeURIComponent(a.address)}`, { state });
    await untilShown(to, a, { agent: { state: "drain" } });
    expect((await change("ready")).body).toMatchObject({ usable: false, state: "ready" });
    await change("maintenance");
    says.line = "ready\n";
    await untilShown(to, a, { reason: "in maintenance", agent: null });
    await change("drain");
    await untilShown(to, a, { usable: false, reason: "draining", agent: { state: "ready" } });
    await change("ready");
    await untilShown(to, a, { usable: true });
  });

  test("alone are the check: who cannot be heard is down", async () => {
    const a = endpoint("a");
    const says = agent("ready 30%\n");
    const { path: _, ...timing } = http;
    const alone = { ...timing, type: "agent" as const, port: says.port, timeout: "100ms" };
    const to = await start({ app: { endpoints: [a.address], health: alone } });
    await untilShown(to, a, { health: "healthy", effectiveWeight: 0.3 });
    expect(await answers(to, 2)).toEqual({ a: 2 });
    says.line = "";
    const reason = "2 checks failed: the agent closed the connection without a word";
    await untilShown(to, a, { health: "unhealthy", reason });
  });
});

describe("a pool that requires another", () => {
  const db: Pools[string] = { endpoints: ["127.0.0.1:1"] };

  test("refuses requests with a reason of its own, or leaves them to its fallback", async () => {
    const [a, database, static_] = [endpoint("a"), endpoint("db"), endpoint("static")];
    const app = { endpoints: [a.address], health: http, requires: ["db"], panic: {} };
    const to = await start({ app, db: { endpoints: [database.address], health: http } });
    expect(await answers(to, 2)).toEqual({ a: 2 });
    database.status = 500;
    await eventually(
      async () => (await to.api("GET", "pools/app")).body.blockedBy[0] === "db",
      "the pool to be blocked",
    );
    expect(await answers(to, 2)).toEqual({ "503 E_REQUIRED_POOL": 2 });
    expect(await shown(to, a)).toMatchObject({
      health: "healthy",
      usable: false,
      reason: "its pool is blocked: it requires db, which has no usable endpoint",
    });
    await to.reload(
      config({
        app: { ...app, fallback: "static" },
        db: { endpoints: [database.address], health: http },
        static: { endpoints: [static_.address] },
      }),
    );
    expect(await answers(to, 2)).toEqual({ static: 2 });
    database.status = 200;
    await eventually(async () => (await shown(to, a)).usable === true, "the pool to be released");
    expect(await answers(to, 2)).toEqual({ a: 2 });
    expect(events(to).filter((type) => type.startsWith("pool."))).toEqual(["pool.blocked", "pool.released"]);
  });

  test("is blocked from the start when that has nothing", async () => {
    const a = endpoint("a");
    const to = await start({ app: { endpoints: [a.address], requires: ["db"] }, db });
    expect(await answers(to, 1)).toEqual({ "503 E_REQUIRED_POOL": 1 });
  });
});

test("what goes up and down is held back, and an operator can end that", async () => {
  const [a, b] = [endpoint("a"), endpoint("b")];
  const health = { ...http, unhealthyAfter: 1, healthyAfter: 1, interval: "100ms", flapDamping: { suppressAt: 2 } };
  const to = await start({ app: { endpoints: [a.address, b.address], health } });
  for (let time = 0; time < 3; time++) {
    await untilShown(to, a, { health: "healthy" });
    a.status = 500;
    await untilShown(to, a, { health: "unhealthy" });
    a.status = 200;
  }
  await untilShown(to, a, { health: "healthy", usable: false });
  const { reason, changes } = await shown(to, a);
  expect(reason).toMatch(/^held back: 3 failures within [\d.]+m?s; trusted again in about [\d.]+m$/);
  expect(changes.map(({ type }: { type: string }) => type)).toContain("endpoint.held");
  expect(await answers(to, 6)).toEqual({ b: 6 });
  const path = `pools/app/endpoints/${encodeURIComponent(a.address)}`;
  expect((await to.api("PATCH", path, { state: "ready" })).body).toMatchObject({ usable: true });
});
