/** How long clients say they will wait, and what endpoints are told of it: `X-Request-Timeout`. Over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { GET, one, type PoolInput, reasons, stopAll, use } from "../support/exchange-fixture.ts";
import { eventually } from "../support/process.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, type RawEndpoint, response, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);

type Timeouts = NonNullable<NonNullable<ConfigInput["routes"]>[number]["timeouts"]>;

interface Silent {
  readonly endpoint: RawEndpoint;
  readonly waiting: EndpointSocket[];
}

function silent(): Silent {
  const waiting: EndpointSocket[] = [];
  return { endpoint: use(startRawEndpoint((socket) => void waiting.push(socket))), waiting };
}

function serve(
  endpoints: PoolInput["endpoints"],
  timeouts: Timeouts,
  clock: FakeClock,
  pool: Partial<PoolInput> = {},
): Balancer {
  const config: ConfigInput = {
    listeners: { web: { address: "127.0.0.1:0" } },
    routes: [{ pool: "app", timeouts }],
    pools: { app: { endpoints, balance: "first", ...pool } },
  };
  return use(startBalancer(config, { clock, timers: clock }));
}

const ask = (timeout: string): string => `GET / HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: ${timeout}\r\n\r\n`;
/** What the endpoint was told, request by request. */
const told = ({ received }: RawEndpoint): string[] =>
  [...received.join("").matchAll(/^X-Request-Timeout: (.*)\r$/gim)].map(([, value]) => value as string);

describe("what clients ask for", () => {
  /** Whether the exchange is over after this long. */
  const isOverAfter = async (elapsedMs: number, request: string, timeouts: Timeouts): Promise<boolean> => {
    const clock = new FakeClock();
    const { endpoint, waiting } = silent();
    const balancer = serve([endpoint.address], timeouts, clock);
    const answer = sendRaw(balancer.port, request, one);
    await eventually(() => waiting.length === 1, "the request");
    clock.advance(elapsedMs);
    const isOver = balancer.inFlight() === 0;
    waiting[0]?.write(response("late"));
    const { text } = await answer;
    expect(statusOf(text)).toBe(isOver ? 504 : 200);
    if (isOver) expect([reasons(balancer), text]).toEqual([["E_REQUEST_TIMEOUT"], expect.stringContaining("TIMEOUT")]);
    await eventually(() => balancer.inFlight() === 0, "nothing in flight");
    return isOver;
  };

  test("shortens the time of the route, and never makes it longer", async () => {
    const timeouts: Timeouts = { request: "2s", fromClient: true };
    expect(await isOverAfter(400, ask("0.5"), timeouts)).toBeFalse();
    for (const asked of ["0.5", "500ms", "0.5s"]) expect(await isOverAfter(700, ask(asked), timeouts)).toBeTrue();
    expect(await isOverAfter(1_900, ask("60"), timeouts)).toBeFalse();
    expect(await isOverAfter(2_200, ask("60"), timeouts)).toBeTrue();
  });

  test("holds where the route has no time of its own", async () => {
    expect(await isOverAfter(1_200, ask("1"), { fromClient: true })).toBeTrue();
  });

  test("is ignored where it is not valid, and nowhere heard unless the route says so", async () => {
    const timeouts: Timeouts = { request: "2s", fromClient: true };
    for (const asked of ["0", "-1", "1m", "1e3", "0.5, 1", "soon", "", "1".repeat(10)])
      expect(await isOverAfter(1_900, ask(asked), timeouts)).toBeFalse();
    expect(await isOverAfter(1_900, ask("0.5"), { request: "2s" })).toBeFalse();
  });

  test("the one of gRPC holds too: the shorter of both", async () => {
    const both = ask("1").replace("Host", "TE: trailers\r\ngrpc-timeout: 300m\r\nHost");
    expect(await isOverAfter(500, both, { fromClient: true })).toBeTrue();
    expect(await isOverAfter(500, both.replace("300m", "3S"), { fromClient: true })).toBeFalse();
  });
});

describe("what endpoints are told", () => {
  const quick = (): RawEndpoint => use(startRawEndpoint((socket) => socket.write(response("ok"))));
  /** What the endpoint is told when the request is sent at once. */
  const toldOf = async (request: string, timeouts: Timeouts): Promise<string[]> => {
    const endpoint = quick();
    const balancer = serve([endpoint.address], timeouts, new FakeClock());
    expect(statusOf((await sendRaw(balancer.port, request, one)).text)).toBe(200);
    return told(endpoint);
  };

  test("what the client asked for, as far as the route allows it, in seconds", async () => {
    const timeouts: Timeouts = { request: "2s", fromClient: true };
    expect(await toldOf(ask("250ms"), timeouts)).toEqual(["0.25"]);
    expect(await toldOf(ask("1.5"), timeouts)).toEqual(["1.5"]);
    expect(await toldOf(ask("60"), timeouts)).toEqual(["2"]);
    expect(await toldOf(ask("nonsense"), timeouts)).toEqual([]);
    expect(await toldOf(GET, timeouts)).toEqual([]);
  });

  test("the time of the route, where that is wanted, whatever the client says", async () => {
    const timeouts: Timeouts = { request: "2s", toEndpoint: true };
    expect(await toldOf(GET, timeouts)).toEqual(["2"]);
    expect(await toldOf(ask("1"), timeouts)).toEqual(["2"]);
    expect(await toldOf(ask("1"), { ...timeouts, fromClient: true })).toEqual(["1"]);
    expect(await toldOf(ask("1"), { toEndpoint: true })).toEqual([]);
  });

  test("a header like any other, where nothing is set", async () => {
    expect(await toldOf(ask("whatever"), {})).toEqual(["whatever"]);
  });

  test("all of the route's time while the request is still arriving", async () => {
    const endpoint = use(
      startRawEndpoint((socket, all) => void (all.endsWith("hello") && socket.write(response("ok")))),
    );
    const balancer = serve([endpoint.address], { request: "2s", toEndpoint: true }, new FakeClock());
    const head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    expect(statusOf((await sendRaw(balancer.port, [head, "he", "llo"], one)).text)).toBe(200);
    expect(told(endpoint)).toEqual(["2"]);
  });

  test("less, by the time that has passed: with a retry", async () => {
    const clock = new FakeClock();
    const [first, second] = [silent(), quick()];
    const retry = { on: ["timeout" as const], perTryTimeout: "2s" };
    const balancer = serve([first.endpoint.address, second.address], { fromClient: true }, clock, { retry });
    const answer = sendRaw(balancer.port, ask("10"), one);
    await eventually(() => first.waiting.length === 1, "the first try");
    clock.advance(2_500);
    expect(statusOf((await answer).text)).toBe(200);
    expect(told(first.endpoint)).toEqual(["10"]);
    // When the sweep of deadlines came by.
    expect(Number(told(second)[0])).toBeGreaterThanOrEqual(7.5);
    expect(Number(told(second)[0])).toBeLessThanOrEqual(8);
  });

  test("less, by the time that has passed: out of the queue", async () => {
    const clock = new FakeClock();
    const { endpoint, waiting } = silent();
    const balancer = serve([{ address: endpoint.address, maxConnections: 1 }], { fromClient: true }, clock);
    const answers = [sendRaw(balancer.port, ask("10"), one)];
    await eventually(() => waiting.length === 1, "the first request");
    answers.push(sendRaw(balancer.port, ask("10"), one));
    await eventually(() => balancer.tables.metrics.read("pool", 0, POOL.waiting) === 1, "one that waits");
    clock.advance(3_000);
    waiting[0]?.write(response("ok"));
    await eventually(() => waiting.length === 2, "the second request");
    waiting[1]?.write(response("ok"));
    for (const { text } of await Promise.all(answers)) expect(statusOf(text)).toBe(200);
    expect(told(endpoint)).toEqual(["10", "7"]);
  });
});

describe("in the queue", () => {
  const waitingOne = async (request: string) => {
    const clock = new FakeClock();
    const { endpoint, waiting } = silent();
    const balancer = serve([{ address: endpoint.address, maxConnections: 1 }], { fromClient: true }, clock);
    const first = sendRaw(balancer.port, GET, one);
    await eventually(() => waiting.length === 1, "the first request");
    const socket = connect({ port: balancer.port, host: "127.0.0.1" });
    use({ stop: () => socket.destroy() });
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
    });
    socket.on("error", () => {});
    socket.write(request);
    const length = (): number => balancer.tables.metrics.read("pool", 0, POOL.waiting);
    await eventually(() => length() === 1, "one that waits");
    const serveFirst = async (): Promise<void> => {
      waiting[0]?.write(response("ok"));
      expect(statusOf((await first).text)).toBe(200);
      await eventually(() => balancer.inFlight() === 0, "nothing in flight");
      expect([endpoint.received.join("").split("GET /").length - 1, length()]).toEqual([1, 0]);
    };
    return { clock, balancer, socket, text: () => text, length, serveFirst };
  };

  test("one whose time is over is answered at once, and never sent", async () => {
    const { clock, text, serveFirst } = await waitingOne(ask("0.5"));
    clock.advance(510);
    await eventually(() => text() !== "", "an answer");
    expect([statusOf(text()), text()]).toEqual([504, expect.stringContaining("E_REQUEST_TIMEOUT")]);
    await serveFirst();
  });

  test("one whose client has left is forgotten, and never sent", async () => {
    const { balancer, socket, length, serveFirst } = await waitingOne(ask("10"));
    socket.resetAndDestroy();
    await eventually(() => length() === 0, "an empty queue");
    expect(reasons(balancer)).toEqual(["E_CLIENT_CLOSED"]);
    await serveFirst();
  });
});

test("an endpoint is not blamed for a client's impatience, but for the route's", async () => {
  const clock = new FakeClock();
  const { endpoint, waiting } = silent();
  const balancer = serve([endpoint.address], { request: "1s", fromClient: true }, clock, { outlierDetection: {} });
  const streak = (): number => balancer.tables.resilience.outliers.streak(0, "timeouts");
  for (const [asked, blamed] of [
    ["0.5", 0],
    ["60", 1],
  ] as const) {
    const answer = sendRaw(balancer.port, ask(asked), one);
    await eventually(() => waiting.length === blamed + 1, "the request");
    clock.advance(1_200);
    expect(statusOf((await answer).text)).toBe(504);
    expect(streak()).toBe(blamed);
  }
});
