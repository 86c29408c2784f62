/** Second requests beside slow ones: when they are sent, whose answer it is, and that all is given back. Over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { ENDPOINT } from "../../src/observability/metrics-table.ts";
import { startBalancer } from "../support/balancer.ts";
import { GET, one, type PoolInput, reasons, stopAll, use } from "../support/exchange-fixture.ts";
import {
  allGivenBack,
  both,
  count,
  DELAY_MS,
  HEDGING,
  Held,
  hedges,
  nothingAsked,
  openTo,
  retriesInUse,
  type Setting,
  setUp,
  underWay,
  warmUp,
} from "../support/hedge-fixture.ts";
import { endAll, eventually, temporaryFolder } from "../support/process.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, response, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);
afterEach(endAll);

const busy = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";

describe("whose answer it is", () => {
  test("the second one's, when the first is slow: the first is given up at once", async () => {
    const setting = await setUp({ retry: { header: true } });
    const { balancer, second } = setting;
    const { answer } = await both(setting);
    second.answer(response("quick"));
    const { text } = await answer;
    expect([statusOf(text), text.endsWith("quick")]).toEqual([200, true]);
    expect(text).toContain("X-Evenkeel-Attempts: 2\r\n");
    await allGivenBack(balancer);
    await eventually(() => openTo(balancer, 0) === 0, "the slow connection closed");
    expect(openTo(balancer, 1)).toBe(1);
    expect([...hedges(balancer), count(balancer, "retries")]).toEqual([1, 1, 1]);
    expect(reasons(balancer)).toEqual([]);
  });

  test("the first one's, when it is there just before", async () => {
    const setting = await setUp();
    const { balancer, first } = setting;
    const { answer } = await both(setting);
    first.answer(response("after all"));
    expect((await answer).text).toEndWith("after all");
    await allGivenBack(balancer);
    await eventually(() => openTo(balancer, 1) === 0, "the second connection closed");
    expect([openTo(balancer, 0), ...hedges(balancer)]).toEqual([1, 1, 0]);
  });

  test("nobody's that is not wanted: the other goes on", async () => {
    const setting = await setUp({ retry: { on: [503] } });
    const { balancer, first, second } = setting;
    const { answer } = await both(setting);
    second.answer(busy);
    await eventually(() => balancer.inFlight() === 1, "one is left");
    expect([underWay(balancer), retriesInUse(balancer)]).toEqual([0, 0]);
    first.answer(response("good"));
    expect((await answer).text).toEndWith("good");
    await allGivenBack(balancer);
    expect([...hedges(balancer), first.requests, second.requests]).toEqual([1, 0, 1, 1]);
  });

  test("half a head decides nothing", async () => {
    const setting = await setUp();
    const { balancer, first, second } = setting;
    const { answer } = await both(setting);
    first.waiting[0]?.write("HTTP/1.1 200 OK\r\nContent-");
    await eventually(() => openTo(balancer, 0) === 1, "the first byte");
    second.answer(response("whole"));
    expect((await answer).text).toEndWith("whole");
    await allGivenBack(balancer);
  });

  test("the body is sent to both", async () => {
    const setting = await setUp();
    const put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    const { answer } = await both(setting, put);
    setting.second.answer(response("stored"));
    expect((await answer).text).toEndWith("stored");
    for (const { endpoint } of [setting.first, setting.second]) expect(endpoint.received.join("")).toEndWith("hello");
    await allGivenBack(setting.balancer);
  });

  test("the log and the circuits: nothing bad is said of the one that was given up", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "access.log");
    const circuitBreaker = { consecutiveFailures: 1, failureRatePercent: 0, slowRatePercent: 0 };
    const setting = await setUp({ circuitBreaker, outlierDetection: {} }, { accessLog: { path, format: "json" } });
    const { balancer, second, clock } = setting;
    const { answer } = await both(setting);
    second.answer(response("quick"));
    await answer;
    clock.advance(200);
    let line = "";
    await eventually(() => {
      line = readFileSync(path, "utf8").trim().split("\n")[1] ?? "";
      return line !== "";
    }, "a line in the log");
    expect(JSON.parse(line)).toMatchObject({ endpoint: second.address, attempts: 2, status: 200, firstByteMs: 0 });
    expect(count(balancer, "circuitsOpened")).toBe(0);
    expect(balancer.tables.metrics.read("endpoint", 0, ENDPOINT.failures)).toBe(0);
    await allGivenBack(balancer);
  });
});

describe("what fails", () => {
  test("the first: the second goes on in its place", async () => {
    const setting = await setUp();
    const { balancer, first, second } = setting;
    const { answer } = await both(setting);
    first.waiting[0]?.reset();
    await eventually(() => balancer.inFlight() === 1, "one is left");
    expect([underWay(balancer), retriesInUse(balancer)]).toEqual([0, 0]);
    second.answer(response("alone"));
    expect((await answer).text).toEndWith("alone");
    await allGivenBack(balancer);
    expect([first.requests, second.requests]).toEqual([1, 1]);
  });

  test("both: no try is left", async () => {
    const setting = await setUp();
    const { balancer, first, second } = setting;
    const { answer } = await both(setting);
    first.waiting[0]?.reset();
    await eventually(() => balancer.inFlight() === 1, "one is left");
    second.waiting[0]?.reset();
    expect(statusOf((await answer).text)).toBe(502);
    await allGivenBack(balancer);
    expect(reasons(balancer)).toEqual(["E_UPSTREAM_CLOSED"]);
    expect([first.requests, second.requests]).toEqual([1, 1]);
  });

  test("both: a third try goes to a third endpoint where there may be one", async () => {
    const third = new Held("third");
    const clock = new FakeClock();
    const [first, second] = [new Held("first"), new Held("second")];
    const endpoints = [first.address, second.address, third.address];
    const app = { endpoints, balance: "first" as const, hedging: HEDGING, retry: { attempts: 2 }, limits: {} };
    const balancer = use(
      startBalancer(
        { listeners: { web: { address: "127.0.0.1:0", pool: "app" } }, pools: { app } },
        { clock, timers: clock },
      ),
    );
    await warmUp(balancer, clock);
    const { answer } = await both({ clock, balancer, first, second });
    second.waiting[0]?.reset();
    await eventually(() => balancer.inFlight() === 1, "one is left");
    first.waiting[0]?.reset();
    await eventually(() => third.waiting.length === 1, "the third try");
    // An ordinary retry, which counts for as long as it takes.
    expect([balancer.inFlight(), underWay(balancer)]).toEqual([1, 1]);
    third.answer(response("at last"));
    expect((await answer).text).toEndWith("at last");
    await allGivenBack(balancer);
  });

  test("the time for the whole exchange ends both", async () => {
    const setting = await setUp({}, { routes: [{ pool: "app", timeouts: { request: "1s" } }] });
    const { balancer, clock } = setting;
    const { answer } = await both(setting);
    clock.advance(1_200);
    expect(statusOf((await answer).text)).toBe(504);
    await allGivenBack(balancer);
    expect(reasons(balancer)).toEqual(["E_REQUEST_TIMEOUT"]);
  });

  test("an endpoint that is taken out in the middle: the other goes on", async () => {
    const setting = await setUp();
    const { balancer, first, second } = setting;
    const { answer } = await both(setting);
    balancer.setEligible("app", 0, false);
    balancer.dataPath.closeConnections("app", first.address, "all");
    expect(balancer.inFlight()).toBe(1);
    second.answer(response("stays"));
    expect((await answer).text).toEndWith("stays");
    await allGivenBack(balancer);
  });
});

describe("who leaves", () => {
  const leave = async (setting: Setting, twice: boolean): Promise<void> => {
    const { balancer, clock, first, second } = setting;
    const socket = connect({ port: balancer.port, host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.write(GET);
    await eventually(() => first.waiting.length === 1, "the first request");
    if (twice) {
      clock.advance(DELAY_MS);
      await eventually(() => second.waiting.length === 1, "the second request");
    }
    socket.resetAndDestroy();
    await allGivenBack(balancer);
    await eventually(() => openTo(balancer, 0) === 0 && openTo(balancer, 1) === 0, "both connections closed");
  };

  test("the client, while both run", async () => {
    const setting = await setUp();
    await leave(setting, true);
    expect(hedges(setting.balancer)).toEqual([1, 0]);
  });

  test("the client, before there is a second one: then there will be none", async () => {
    const setting = await setUp();
    await leave(setting, false);
    await nothingAsked(setting);
  });

  test("a balancer that is stopping finishes what is under way, hedged or not", async () => {
    const setting = await setUp();
    const { balancer, clock, first, second } = setting;
    const answer = sendRaw(balancer.port, GET, one);
    await eventually(() => first.waiting.length === 1, "the first request");
    balancer.dataPath.drain(true);
    clock.advance(DELAY_MS);
    await eventually(() => second.waiting.length === 1, "the second request");
    second.answer(response("good-bye"));
    const { text } = await answer;
    expect(text).toEndWith("good-bye");
    expect(text).toContain("Connection: close\r\n");
    await allGivenBack(balancer);
    await eventually(() => balancer.openConnections() === 0, "no connection");
  });

  test("the pool's settings, while a request waits", async () => {
    const setting = await setUp();
    const { balancer, first, second } = setting;
    const answer = sendRaw(balancer.port, GET, one);
    await eventually(() => first.waiting.length === 1, "the first request");
    const endpoints = [first.address, second.address];
    balancer.reload({
      listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
      pools: { app: { endpoints, balance: "first" } },
    });
    await nothingAsked(setting);
    first.answer(response("slow"));
    expect((await answer).text).toEndWith("slow");
    await allGivenBack(balancer);
  });
});

describe("when there is none", () => {
  const unhedged = async (setting: Setting, request = GET): Promise<void> => {
    const { balancer, first } = setting;
    const answer = sendRaw(balancer.port, request, one);
    await eventually(() => first.waiting.length >= 1, "the first request");
    await nothingAsked(setting);
    first.answer(response("slow"));
    expect((await answer).text).toEndWith("slow");
    await allGivenBack(balancer);
    expect(hedges(balancer)).toEqual([0, 0]);
  };
  const post = (headers = ""): string => `POST / HTTP/1.1\r\nHost: a\r\n${headers}Content-Length: 0\r\n\r\n`;

  test("for a POST, except with an Idempotency-Key", async () => {
    const setting = await setUp();
    await unhedged(setting, post());
    const { answer } = await both(setting, post("Idempotency-Key: 7\r\n"));
    setting.second.answer(response("once"));
    expect((await answer).text).toEndWith("once");
    await allGivenBack(setting.balancer);
  });

  test("for an upgrade", async () => {
    await unhedged(
      await setUp(),
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
  });

  test("for a body that is too long to be kept", async () => {
    const body = "x".repeat(70_000);
    await unhedged(await setUp(), `PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });

  test("for a request that is still arriving", async () => {
    const setting = await setUp();
    const { balancer, clock, first, second } = setting;
    const socket: Socket = connect({ port: balancer.port, host: "127.0.0.1" });
    use({ stop: () => socket.destroy() });
    socket.write("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    await eventually(() => first.requests === 1, "the first request");
    clock.advance(2 * DELAY_MS);
    socket.write("llo");
    await eventually(() => first.endpoint.received.join("").endsWith("hello"), "the body");
    await nothingAsked(setting);
    socket.resetAndDestroy();
    await allGivenBack(balancer);
    expect(second.requests).toBe(0);
  });

  test("once the first has begun to answer, even with an interim answer only", async () => {
    const setting = await setUp();
    const { balancer, first } = setting;
    const answer = sendRaw(balancer.port, GET, { until: (all) => all.endsWith("slow") });
    await eventually(() => first.waiting.length === 1, "the first request");
    first.waiting[0]?.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    await eventually(() => balancer.tables.metrics.read("endpoint", 0, ENDPOINT.bytesIn) > 80, "the interim answer");
    await nothingAsked(setting);
    first.answer(response("slow"));
    expect((await answer).text).toContain("103 Early Hints");
    await allGivenBack(balancer);
  });

  test("when the budget or the limits refuse it", async () => {
    const budget = { percent: 0, minimum: 0 };
    for (const pool of [{ retry: { budget } }, { limits: { retries: 1 } }]) {
      const setting = await setUp(pool);
      const { balancer } = setting;
      const counters = balancer.tables.resilience.pools(0);
      // Another retry is under way somewhere.
      if ("limits" in pool) counters.usage.add(counters.limits(0) + 2);
      const answer = sendRaw(balancer.port, GET, one);
      await eventually(() => setting.first.waiting.length === 1, "the first request");
      await nothingAsked(setting);
      setting.first.answer(response("slow"));
      expect((await answer).text).toEndWith("slow");
      await eventually(() => balancer.inFlight() === 0, "nothing in flight");
      expect([underWay(balancer), count(balancer, "retriesOverBudget"), count(balancer, "hedges")]).toEqual([0, 1, 0]);
    }
  });

  test("without another endpoint: never on the same one", async () => {
    const setting = await setUp();
    setting.balancer.setEligible("app", 1, false);
    await unhedged(setting);
  });

  test("as long as others wait for a place", async () => {
    const clock = new FakeClock();
    const [first, second] = [new Held("first"), new Held("second")];
    const endpoints = [first, second].map(({ address }) => ({ address, maxConnections: 1 }));
    const app = { endpoints, balance: "first" as const, hedging: HEDGING };
    const balancer = use(
      startBalancer(
        { listeners: { web: { address: "127.0.0.1:0", pool: "app" } }, pools: { app } },
        { clock, timers: clock },
      ),
    );
    await warmUp(balancer, clock);
    const answers = [0, 1, 2].map(() => sendRaw(balancer.port, GET, one));
    await eventually(() => first.waiting.length + second.waiting.length === 2, "two requests");
    clock.advance(DELAY_MS);
    expect(hedges(balancer)).toEqual([0, 0]);
    for (let turn = 0; turn < 2; turn++) {
      await eventually(() => first.waiting.length + second.waiting.length >= 1, "a request");
      first.answer(response("ok"));
      second.answer(response("ok"));
    }
    for (const { text } of await Promise.all(answers)) expect(statusOf(text)).toBe(200);
    await eventually(() => balancer.inFlight() === 0, "nothing in flight");
  });

  test("before anything is known of how long answers take", async () => {
    await unhedged(await setUp({ hedging: { ...HEDGING, minimumVolume: 2 } }));
  });
});

test("a place that the slow one had goes to one that waits", async () => {
  const setting = await setUp();
  const { balancer, first, second } = setting;
  balancer.reload({
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    pools: {
      app: {
        endpoints: [first, second].map(({ address }) => ({ address, maxConnections: 1 })),
        balance: "first",
        hedging: HEDGING,
        limits: { retries: 10 },
      },
    },
  });
  const { answer } = await both(setting);
  const waiting = sendRaw(balancer.port, GET, one);
  await eventually(() => count(balancer, "waiting") === 1, "one that waits");
  second.answer(response("quick"));
  expect((await answer).text).toEndWith("quick");
  await eventually(() => first.requests + second.requests === 3, "its turn");
  first.answer(response("next"));
  second.answer(response("next"));
  expect((await waiting).text).toEndWith("next");
  await allGivenBack(balancer);
});

test("whatever endpoints and clients do, all is given back", async () => {
  const random = seededRandom(7);
  const draw = (count: number): number => Math.floor(random.next() * count);
  const later = (run: () => void): void => void setTimeout(run, draw(12));
  const behaviours: ((socket: EndpointSocket) => void)[] = [
    (socket) => socket.write(response("quick")),
    ...Array.from({ length: 6 }, () => (socket: EndpointSocket) => later(() => socket.write(response("slow")))),
    (socket) => later(() => socket.reset()),
    (socket) => later(() => socket.write(busy)),
    (socket) => later(() => socket.write("garbage\r\n\r\n")),
    (socket) => {
      socket.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 ");
      later(() => socket.write("OK\r\nContent-Length: 2\r\n\r\nok"));
    },
    (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbut");
      later(() => socket.reset());
    },
  ];
  const endpoints = Array.from({ length: 4 }, () =>
    use(startRawEndpoint((socket) => (behaviours[draw(behaviours.length)] as (typeof behaviours)[number])(socket))),
  );
  const app: PoolInput = {
    endpoints: endpoints.map(({ address }) => ({ address, maxConnections: 8 })),
    hedging: { minimumVolume: 1, minDelay: "2ms", maxDelay: "2ms" },
    retry: { attempts: 2, on: ["reset", "bad-answer", 503], budget: { percent: 50, minimum: 10 } },
    limits: { retries: 20 },
    circuitBreaker: { consecutiveFailures: 8, failureRatePercent: 0, slowRatePercent: 0, openFor: "100ms" },
  };
  const routes = [{ pool: "app", timeouts: { request: "500ms" } }];
  const balancer = use(startBalancer({ listeners: { web: { address: "127.0.0.1:0" } }, routes, pools: { app } }));
  const client = async (): Promise<void> => {
    for (let request = 0; request < 60; request++) {
      // One in eight does not wait for its answer.
      const timeoutMs = draw(8) === 0 ? draw(10) : 2_000;
      await sendRaw(balancer.port, GET, { until: (all) => /HTTP\/1.1 [2-5]/.test(all), timeoutMs });
    }
  };
  await Promise.all(Array.from({ length: 16 }, client));
  await allGivenBack(balancer);
  expect(endpoints.map((_, row) => balancer.tables.endpoints.inFlight(row))).toEqual([0, 0, 0, 0]);
  expect(count(balancer, "hedges")).toBeGreaterThan(0);
  expect(count(balancer, "waiting")).toBe(0);
  expect(reasons(balancer)).not.toContain("E_INTERNAL");
}, 30_000);
