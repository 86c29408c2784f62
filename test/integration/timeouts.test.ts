/** Every wait of an exchange has an end: on the fake clock, over real sockets. */
import { afterEach, expect, test } from "bun:test";
import { connect } from "node:net";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import {
  GET,
  ok,
  one,
  type PoolInput,
  reasons,
  serve,
  settle,
  stalledAddress,
  stopAll,
  use,
} from "../support/exchange-fixture.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { response, startEchoEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);

test("an endpoint that does not answer: 504 after the response timeout", async () => {
  const clock = new FakeClock();
  const endpoint = use(startRawEndpoint(() => {}));
  const balancer = serve([endpoint.address], {}, {}, clock);
  const answer = sendRaw(balancer.port, GET, one);
  await settle();
  clock.advance(29_000);
  await settle();
  expect(balancer.inFlight()).toBe(1);
  clock.advance(1_200);
  expect(statusOf((await answer).text)).toBe(504);
  expect(balancer.inFlight()).toBe(0);
});

test("an endpoint that stops in the middle of its answer: the answer is broken off", async () => {
  const clock = new FakeClock();
  const endpoint = use(startRawEndpoint((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")));
  const balancer = serve([endpoint.address], {}, {}, clock);
  const answer = sendRaw(balancer.port, GET);
  await settle();
  clock.advance(60_200);
  const { text, closed } = await answer;
  expect(text).toEndWith("abc");
  expect(closed).toBe(true);
});

/** A route whose exchanges may take two seconds, in front of endpoints of which each takes one request at a time. */
function serveInTime(address: string, pool: Partial<PoolInput>, clock: FakeClock): Balancer {
  const config: ConfigInput = {
    listeners: { web: { address: "127.0.0.1:0" } },
    routes: [{ pool: "app", timeouts: { request: "2s" } }],
    pools: { app: { endpoints: [{ address, maxConnections: 1 }], ...pool } },
  };
  return use(startBalancer(config, { clock, timers: clock }));
}

test("the time for the whole exchange runs while it waits for an endpoint, and is not the queue's", async () => {
  const clock = new FakeClock();
  const balancer = serveInTime(use(startRawEndpoint(() => {})).address, { queue: { timeout: "10s" } }, clock);
  const answers = [sendRaw(balancer.port, GET, one), sendRaw(balancer.port, GET, one)];
  await settle();
  clock.advance(1_900);
  await settle();
  expect(balancer.inFlight()).toBe(1);
  clock.advance(300);
  for (const { text } of await Promise.all(answers)) {
    expect(statusOf(text)).toBe(504);
    expect(text).toContain("E_REQUEST_TIMEOUT");
  }
  expect(balancer.inFlight()).toBe(0);
});

test("the time for the whole exchange runs while it connects", async () => {
  const clock = new FakeClock();
  // Nothing is ever accepted: once the queue of the system is full, connections come to nothing.
  const full = await stalledAddress();
  const balancer = serveInTime(full, { connections: { connectTimeout: "30s" } }, clock);
  const answer = sendRaw(balancer.port, GET, one);
  await settle();
  clock.advance(2_200);
  const { text } = await answer;
  expect(statusOf(text)).toBe(504);
  expect(text).toContain("E_REQUEST_TIMEOUT");
  await settle();
  expect(balancer.inFlight()).toBe(0);
});

for (const reads of [true, false]) {
  test(`the time for the whole exchange ends an answer in its middle, ${reads ? "flowing" : "not read"}`, async () => {
    const clock = new FakeClock();
    const flows: (() => void)[] = [];
    const size = 64 * 1_048_576;
    const endpoint = use(
      startRawEndpoint((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        flows.push(() => socket.write("x".repeat(reads ? 10 : 16 * 1_048_576)));
      }),
    );
    const balancer = serveInTime(endpoint.address, {}, clock);
    const socket = connect({ port: balancer.port, host: "127.0.0.1" });
    let received = 0;
    let closed = false;
    socket.on("data", (bytes) => {
      received += bytes.length;
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      closed = true;
    });
    if (!reads) socket.pause();
    socket.write(GET);
    await settle();
    for (let step = 0; step < 4; step++) {
      for (const flow of flows) flow();
      await settle();
      clock.advance(450);
      await settle();
      expect(balancer.inFlight()).toBe(1);
    }
    clock.advance(400);
    await settle();
    expect(balancer.inFlight()).toBe(0);
    socket.resume();
    for (let turn = 0; turn < 200 && !closed; turn++) await settle();
    expect(closed).toBe(true);
    expect(received).toBeLessThan(size);
    expect(reasons(balancer)).toEqual(["E_REQUEST_TIMEOUT"]);
  });
}

test("a client that closes its side with its request gets the answer; one that does so later has given up", async () => {
  const clock = new FakeClock();
  const held: (() => void)[] = [];
  const endpoint = use(startRawEndpoint((socket) => void held.push(() => socket.write(response("late")))));
  const balancer = serve([endpoint.address], {}, {}, clock);
  const soon = sendRaw(balancer.port, GET, { endAfter: true });
  await settle();
  clock.advance(3_000);
  await settle();
  held.shift()?.();
  expect((await soon).text).toEndWith("late");
  expect(reasons(balancer)).toEqual([]);

  const socket = connect({ port: balancer.port, host: "127.0.0.1", allowHalfOpen: true });
  socket.write(GET);
  await settle();
  clock.advance(1_200);
  await settle();
  expect(balancer.inFlight()).toBe(1);
  socket.end();
  await settle();
  expect(balancer.inFlight()).toBe(0);
  expect(reasons(balancer)).toEqual(["E_CLIENT_CLOSED"]);
  socket.destroy();
});

test("a client that closes its side in the middle of its answer gets the rest, however long it takes", async () => {
  const clock = new FakeClock();
  const flows: (() => void)[] = [];
  const endpoint = use(
    startRawEndpoint((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n");
      flows.push(() => socket.write("0123456789"));
    }),
  );
  const balancer = serve([endpoint.address], {}, {}, clock);
  const socket = connect({ port: balancer.port, host: "127.0.0.1", allowHalfOpen: true });
  let text = "";
  socket.on("data", (bytes) => {
    text += bytes.toString();
  });
  socket.write(GET);
  await settle();
  clock.advance(2_000);
  socket.end();
  for (let step = 0; step < 3; step++) {
    await settle();
    clock.advance(10_000);
    flows[0]?.();
  }
  await settle();
  expect(text).toEndWith("0123456789".repeat(3));
  expect(reasons(balancer)).toEqual([]);
  socket.destroy();
});

test("a head that does not come: 408; nothing at all: closed without a word", async () => {
  const clock = new FakeClock();
  const balancer = serve([ok().address], {}, {}, clock);
  const half = sendRaw(balancer.port, "GET / HTTP/1.1\r\nHo");
  const nothing = sendRaw(balancer.port, "");
  await settle();
  clock.advance(10_200);
  await settle();
  clock.advance(2_200);
  expect(statusOf((await half).text)).toBe(408);
  expect(await nothing).toEqual({ text: "", closed: true });
});

test("idle connections are closed in time", async () => {
  const clock = new FakeClock();
  const balancer = serve([ok().address], {}, {}, clock);
  const answer = sendRaw(balancer.port, GET);
  await settle();
  clock.advance(74_000);
  await settle();
  expect(balancer.openConnections()).toBe(1);
  clock.advance(1_200);
  expect((await answer).closed).toBe(true);
  expect(balancer.openConnections()).toBe(0);
});

test("a body that stalls or drips: 408", async () => {
  const clock = new FakeClock();
  const balancer = serve([use(startEchoEndpoint()).address], {}, {}, clock);
  const stalled = sendRaw(balancer.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
  await settle();
  clock.advance(30_200);
  await settle();
  clock.advance(2_200);
  expect(statusOf((await stalled).text)).toBe(408);

  const socket = connect({ port: balancer.port, host: "127.0.0.1" });
  let text = "";
  socket.on("data", (bytes) => {
    text += bytes.toString();
  });
  socket.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  for (let second = 0; second < 14 && text === ""; second++) {
    socket.write("x");
    await settle();
    clock.advance(1_000);
  }
  await settle();
  socket.destroy();
  expect(statusOf(text)).toBe(408);
  await settle();
  expect(balancer.inFlight()).toBe(0);
});
