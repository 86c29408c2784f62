/** Requests that are tried again: what of, with what, how often, how soon, and how much of it. Over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import type { Balancer } from "../support/balancer.ts";
import { GET, one, type PoolInput, reasons, serve, settle, stopAll, use } from "../support/exchange-fixture.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, type RawEndpoint, response, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);

type RetryInput = NonNullable<PoolInput["retry"]>;

/** Answers whole requests that have no body. */
function answering(answer: string | ((socket: EndpointSocket) => void)): RawEndpoint {
  return use(
    startRawEndpoint((socket, _all, piece) => {
      if (!piece.endsWith("\r\n\r\n")) return;
      if (typeof answer === "string") socket.write(answer);
      else answer(socket);
    }),
  );
}

const busy = (headers = ""): string => `HTTP/1.1 503 Busy\r\n${headers}Content-Length: 4\r\n\r\nbusy`;

/** `first` always gets the first try, `second` the next. */
function inOrder(first: RawEndpoint, second: RawEndpoint, retry: RetryInput, clock?: FakeClock): Balancer {
  return serve([first.address, second.address], { balance: "first", retry }, {}, clock);
}

function retries({ tables }: Balancer, field: keyof typeof POOL = "retries"): number {
  return tables.metrics.read("pool", 0, POOL[field]);
}

/** Retries that the budget counts now. */
function underWay({ tables }: Balancer): number {
  const counters = tables.resilience.pools(0);
  return counters.usage.read(counters.retries(0));
}

const count = (endpoint: RawEndpoint, what = "HTTP/1.1\r\n"): number =>
  endpoint.received.reduce((sum, text) => sum + text.split(what).length - 1, 0);

describe("answers", () => {
  test("with a status that is listed: the client sees the other endpoint's, and how many tries it took", async () => {
    const balancer = inOrder(answering(busy()), answering(response("ok")), { on: [503], header: true });
    const { text } = await sendRaw(balancer.port, GET, one);
    expect(statusOf(text)).toBe(200);
    expect(text).toContain("X-Evenkeel-Attempts: 2\r\n");
    expect(text).not.toContain("busy");
    expect(retries(balancer)).toBe(1);
    expect([balancer.inFlight(), underWay(balancer)]).toEqual([0, 0]);
  });

  test("the last one is passed on as it is", async () => {
    const [first, second] = [answering(busy("X-From: 1\r\n")), answering(busy("X-From: 2\r\n"))];
    const balancer = inOrder(first, second, { on: [503] });
    const { text } = await sendRaw(balancer.port, GET, one);
    expect(text).toStartWith("HTTP/1.1 503 Busy\r\n");
    expect(text).toContain("X-From: 2\r\n");
    expect(text).not.toContain("Attempts");
    expect(reasons(balancer)).toEqual([]);
  });

  test("a status that is not listed is passed on", async () => {
    const balancer = inOrder(answering(busy()), answering(response("ok")), { on: [502, 504, "reset"] });
    expect(statusOf((await sendRaw(balancer.port, GET, one)).text)).toBe(503);
    expect(retries(balancer)).toBe(0);
  });

  test("nothing is retried on a status unless that is asked for", async () => {
    const balancer = serve([answering(busy()).address, answering(response("ok")).address], { balance: "first" });
    expect(statusOf((await sendRaw(balancer.port, GET, one)).text)).toBe(503);
  });

  test("a connection whose answer was not wanted, but whole, is used again", async () => {
    const first = answering(busy());
    const balancer = inOrder(first, answering(response("ok")), { on: [503] });
    for (let index = 0; index < 3; index++) await sendRaw(balancer.port, GET, one);
    expect(count(first)).toBe(3);
    expect(first.received.length).toBe(1);
  });

  test("one that was not whole is closed", async () => {
    const first = answering("HTTP/1.1 503 Busy\r\nContent-Length: 400000\r\n\r\nbusy");
    const balancer = inOrder(first, answering(response("ok")), { on: [503] });
    for (let index = 0; index < 3; index++) {
      expect(statusOf((await sendRaw(balancer.port, GET, one)).text)).toBe(200);
    }
    expect(first.received.length).toBe(3);
  });

  test("gRPC: a status without a message, whatever the method", async () => {
    const first = answering("HTTP/1.1 200 OK\r\ngrpc-status: 14\r\nContent-Length: 0\r\n\r\n");
    const second = answering("HTTP/1.1 200 OK\r\ngrpc-status: 5\r\nContent-Length: 0\r\n\r\n");
    const balancer = inOrder(first, second, { on: ["grpc-unavailable"] });
    const { text } = await sendRaw(balancer.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", one);
    expect(text).toContain("grpc-status: 5\r\n");
  });

  test("that are not valid, when that is asked for", async () => {
    const garbage = (): RawEndpoint => answering("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    const kept = inOrder(garbage(), answering(response("ok")), {});
    expect(statusOf((await sendRaw(kept.port, GET, one)).text)).toBe(502);
    const retried = inOrder(garbage(), answering(response("ok")), { on: ["bad-answer"] });
    expect(statusOf((await sendRaw(retried.port, GET, one)).text)).toBe(200);
  });
});

describe("what may be repeated", () => {
  const post = (headers = ""): string => `POST / HTTP/1.1\r\nHost: a\r\n${headers}Content-Length: 0\r\n\r\n`;

  test("a POST only with an Idempotency-Key, or when the pool says so", async () => {
    const dies = (): RawEndpoint => answering((socket) => socket.reset());
    const plain = inOrder(dies(), answering(response("ok")), {});
    expect(statusOf((await sendRaw(plain.port, post(), one)).text)).toBe(502);
    expect(statusOf((await sendRaw(plain.port, post("Idempotency-Key: 7\r\n"), one)).text)).toBe(200);
    const vouched = inOrder(dies(), answering(response("ok")), { methods: ["POST"] });
    expect(statusOf((await sendRaw(vouched.port, post(), one)).text)).toBe(200);
    expect(statusOf((await sendRaw(vouched.port, GET, one)).text)).toBe(502);
  });

  for (const [bytes, expected] of [
    [60_000, 200],
    [70_000, 503],
  ] as const) {
    test(`a body of ${bytes} bytes: ${expected === 200 ? "sent again" : "too long to be kept"}`, async () => {
      const gets = (answer: string): RawEndpoint =>
        use(startRawEndpoint((socket, all) => void (all.endsWith("xEND") && socket.write(answer))));
      const [first, second] = [gets(busy()), gets(response("ok"))];
      const balancer = inOrder(first, second, { on: [503] });
      const body = `${"x".repeat(bytes - 3)}END`;
      const head = `PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`;
      const { text } = await sendRaw(balancer.port, [head, body.slice(0, 30_000), body.slice(30_000)], one);
      expect(statusOf(text)).toBe(expected);
      expect(first.received[0]).toEndWith(body);
      if (expected === 200) expect(second.received[0]).toEndWith(body);
      else expect(second.received).toEqual([]);
    });
  }
});

describe("how long", () => {
  test("a try that takes longer than it may is given up", async () => {
    const clock = new FakeClock();
    const hangs = answering(() => {});
    const balancer = inOrder(hangs, answering(response("ok")), { on: ["timeout"], perTryTimeout: "2s" }, clock);
    const answer = sendRaw(balancer.port, GET, one);
    await settle();
    clock.advance(1_800);
    await settle();
    expect(balancer.inFlight()).toBe(1);
    clock.advance(400);
    expect(statusOf((await answer).text)).toBe(200);
    expect([count(hangs), balancer.inFlight(), underWay(balancer)]).toEqual([1, 0, 0]);
  });

  test("without timeout among the conditions the client is told after the first try", async () => {
    const clock = new FakeClock();
    const balancer = inOrder(
      answering(() => {}),
      answering(response("ok")),
      { perTryTimeout: "2s" },
      clock,
    );
    const answer = sendRaw(balancer.port, GET, one);
    await settle();
    clock.advance(2_200);
    expect(statusOf((await answer).text)).toBe(504);
    expect(reasons(balancer)).toEqual(["E_RESPONSE_TIMEOUT"]);
  });

  test("the backoff is waited out, and given up with the client", async () => {
    const clock = new FakeClock();
    const second = answering(response("ok"));
    const backoff = { base: "1s", max: "1s" };
    const balancer = inOrder(answering(busy()), second, { on: [503], backoff }, clock);
    const answer = sendRaw(balancer.port, GET, one);
    await settle();
    expect([count(second), balancer.inFlight(), underWay(balancer)]).toEqual([0, 0, 1]);
    clock.advance(1_000);
    expect(statusOf((await answer).text)).toBe(200);
    expect(underWay(balancer)).toBe(0);

    const leaving = connect({ port: balancer.port, host: "127.0.0.1" });
    leaving.write(GET);
    await settle();
    expect(underWay(balancer)).toBe(1);
    leaving.resetAndDestroy();
    await settle();
    expect(underWay(balancer)).toBe(0);
    clock.advance(2_000);
    await settle();
    expect(count(second)).toBe(1);
  });

  test("not when the time for the whole exchange would be over", async () => {
    const clock = new FakeClock();
    const retry: RetryInput = { on: [503], attempts: 10, backoff: { base: "1h", max: "1h" } };
    const balancer = inOrder(answering(busy()), answering(response("ok")), retry, clock);
    const call = "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\ngrpc-timeout: 50m\r\n\r\n";
    expect(statusOf((await sendRaw(balancer.port, call, one)).text)).toBe(503);
    expect(retries(balancer)).toBe(0);
  });
});

test("an endpoint is told how much is left of the time that the client gave", async () => {
  const clock = new FakeClock();
  const [first, second] = [answering(() => {}), answering(response("ok"))];
  const balancer = inOrder(first, second, { on: ["timeout"], perTryTimeout: "2s" }, clock);
  const answer = sendRaw(balancer.port, "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\ngrpc-timeout: 10S\r\n\r\n", one);
  await settle();
  clock.advance(2_500);
  expect(statusOf((await answer).text)).toBe(200);
  expect(first.received[0]).toMatch(/\r\ngrpc-timeout: 10000m\r\n/);
  const left = Number(/grpc-timeout: (\d+)m/.exec(second.received[0] as string)?.[1]);
  expect(left).toBeGreaterThan(7_000);
  expect(left).toBeLessThanOrEqual(8_000);
  expect(second.received[0]?.match(/grpc-timeout/g)?.length).toBe(1);
});

describe("the budget", () => {
  const budget = { percent: 0, minimum: 1 };

  test("holds over all requests: what goes beyond it gets the answer that there is", async () => {
    const clock = new FakeClock();
    const backoff = { base: "1s", max: "1s" };
    const balancer = inOrder(answering(busy()), answering(response("ok")), { on: [503], budget, backoff }, clock);
    const answers = [0, 1, 2].map(() => sendRaw(balancer.port, GET, one));
    await settle();
    expect(underWay(balancer)).toBe(1);
    clock.advance(1_000);
    const statuses = (await Promise.all(answers)).map(({ text }) => statusOf(text));
    expect(statuses.sort((a, b) => a - b)).toEqual([200, 503, 503]);
    expect([retries(balancer), retries(balancer, "retriesOverBudget"), underWay(balancer)]).toEqual([1, 2, 0]);
  });

  test("is a share of what is active", async () => {
    const held: EndpointSocket[] = [];
    const first = answering((socket) => void held.push(socket));
    const retry: RetryInput = { on: [503], budget: { percent: 50, minimum: 0 }, backoff: { base: "1s", max: "1s" } };
    const clock = new FakeClock();
    const balancer = inOrder(first, answering(response("ok")), retry, clock);
    const answers = Array.from({ length: 9 }, () => sendRaw(balancer.port, GET, one));
    await settle();
    expect(held.length).toBe(9);
    // 8 are left when the first fails: four retries at one time, as long as so many are active.
    for (const socket of held.splice(0, 3)) socket.write(busy());
    await settle();
    expect(underWay(balancer)).toBe(3);
    for (const socket of held.splice(0)) socket.write(busy());
    await settle();
    clock.advance(1_000);
    await Promise.all(answers);
    expect(retries(balancer) + retries(balancer, "retriesOverBudget")).toBe(9);
    expect(underWay(balancer)).toBe(0);
  });

  test("does not count the first retry of what no endpoint has worked on, unless told to", async () => {
    const dies = (): RawEndpoint => answering((socket) => socket.reset());
    const none = { percent: 0, minimum: 0 };
    const usual = inOrder(dies(), answering(response("ok")), { budget: none });
    expect(statusOf((await sendRaw(usual.port, GET, one)).text)).toBe(200);
    const strict = inOrder(dies(), answering(response("ok")), { budget: { ...none, exempt: [] } });
    expect(statusOf((await sendRaw(strict.port, GET, one)).text)).toBe(502);
    expect(retries(strict, "retriesOverBudget")).toBe(1);
  });

  test("what a dead worker had under way is given back", () => {
    const balancer = inOrder(answering(busy()), answering(busy()), {});
    const counters = balancer.tables.resilience.pools(0);
    counters.usage.add(counters.retries(0));
    expect(underWay(balancer)).toBe(1);
    balancer.tables.resilience.releaseWorker(0);
    expect(underWay(balancer)).toBe(0);
  });
});

test("several tries never meet the same endpoint while another is left", async () => {
  const endpoints = [0, 1, 2].map(() => answering(busy()));
  const balancer = serve(
    endpoints.map(({ address }) => address),
    { retry: { attempts: 2, on: [503] } },
  );
  for (let index = 1; index <= 5; index++) {
    await sendRaw(balancer.port, GET, one);
    expect(endpoints.map((endpoint) => count(endpoint))).toEqual([index, index, index]);
  }
});
