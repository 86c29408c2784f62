/** The life of exchanges when things go wrong: retries, timeouts, limits, queues, clients that leave or do not read. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { REASONS } from "../../src/observability/metrics-table.ts";
import { closeDescriptor, openListeningSocket, portOf } from "../../src/transport/listening-socket.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { countResponses, sendRaw, statusOf } from "../support/raw-client.ts";
import { type RawEndpoint, response, startEchoEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";

const running: { stop(): unknown }[] = [];

afterEach(async () => {
  for (const item of running.splice(0).reverse()) await item.stop();
});

function use<Item extends { stop(): unknown }>(item: Item): Item {
  running.push(item);
  return item;
}

type PoolInput = NonNullable<ConfigInput["pools"]>[string];
type ListenerInput = ConfigInput["listeners"][string];

function serve(
  endpoints: PoolInput["endpoints"],
  pool: Partial<PoolInput> = {},
  listener: Partial<ListenerInput> = {},
  clock?: FakeClock,
): Balancer {
  const config = {
    listeners: { web: { address: "127.0.0.1:0", pool: "app", ...listener } },
    pools: { app: { endpoints, ...pool } },
  };
  return use(startBalancer(config, clock === undefined ? {} : { clock, timers: clock }));
}

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const one = { until: (all: string) => countResponses(all) >= 1 };
const ok = (): RawEndpoint =>
  use(startRawEndpoint((socket, _all, piece) => piece.endsWith("\r\n\r\n") && socket.write(response("ok"))));

/** A port on which nobody listens. */
function deadAddress(): string {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  return `127.0.0.1:${port}`;
}

/** An address where a connection is neither made nor refused: nobody accepts, and the system's queue is full. */
async function stalledAddress(): Promise<string> {
  const descriptor = openListeningSocket("127.0.0.1", 0, 0);
  const port = portOf(descriptor);
  const fillers = Array.from({ length: 4 }, () => connect({ port, host: "127.0.0.1" }));
  for (const filler of fillers) filler.on("error", () => {});
  use({
    stop() {
      for (const filler of fillers) filler.destroy();
      closeDescriptor(descriptor);
    },
  });
  await Bun.sleep(50);
  return `127.0.0.1:${port}`;
}

/** Why the balancer itself ended exchanges, each as often as it did. */
function reasons({ tables }: Balancer): string[] {
  return REASONS.flatMap((reason, row) => new Array<string>(tables.metrics.read("reason", row, 0)).fill(reason));
}

/** Lets the sockets catch up, without the test's clock moving. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  await Bun.sleep(5);
}

test("a refused connection goes to another endpoint, whatever the method", async () => {
  const balancer = serve([deadAddress(), ok().address], { balance: "round-robin" });
  for (let index = 0; index < 6; index++) {
    const { text } = await sendRaw(balancer.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n", one);
    expect(statusOf(text)).toBe(200);
  }
});

test("all endpoints dead: 502 after the tries that are allowed", async () => {
  const balancer = serve([deadAddress(), deadAddress()]);
  const { text } = await sendRaw(balancer.port, GET, one);
  expect(statusOf(text)).toBe(502);
  expect(balancer.inFlight()).toBe(0);
});

test("no eligible endpoint: 503 with Retry-After", async () => {
  const balancer = serve([ok().address]);
  balancer.setEligible("app", 0, false);
  const { text } = await sendRaw(balancer.port, GET, one);
  expect(statusOf(text)).toBe(503);
  expect(text).toContain("Retry-After: 5\r\n");
});

for (const [method, expected] of [
  ["GET", 200],
  ["POST", 502],
] as const) {
  test(`a kept-alive connection that dies under a ${method}`, async () => {
    let requests = 0;
    const endpoint = use(
      startRawEndpoint((socket) => {
        requests++;
        if (requests === 2) socket.reset();
        else socket.write(response("ok"));
      }),
    );
    const balancer = serve([endpoint.address]);
    await sendRaw(balancer.port, GET, one);
    const { text } = await sendRaw(balancer.port, `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`, one);
    expect(statusOf(text)).toBe(expected);
    expect(requests).toBe(expected === 200 ? 3 : 2);
  });
}

for (const [method, expected] of [
  ["GET", 2],
  ["POST", 1],
] as const) {
  test(`a fresh connection that dies under a ${method}: it may have been executed`, async () => {
    let requests = 0;
    const endpoint = use(
      startRawEndpoint((socket) => {
        requests++;
        socket.reset();
      }),
    );
    const balancer = serve([endpoint.address]);
    const { text } = await sendRaw(balancer.port, `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`, one);
    expect(statusOf(text)).toBe(502);
    expect(requests).toBe(expected);
  });
}

test("a backup is used only when the first tier is out", async () => {
  const [main, backup] = [ok(), ok()];
  const balancer = serve([main.address, { address: backup.address, tier: 1 }]);
  await sendRaw(balancer.port, GET, one);
  expect(backup.received.length).toBe(0);
  balancer.setEligible("app", 0, false);
  expect(statusOf((await sendRaw(balancer.port, GET, one)).text)).toBe(200);
  expect(backup.received.length).toBe(1);
});

test("requests over maxConnections wait their turn, and not for ever", async () => {
  const clock = new FakeClock();
  const held: (() => void)[] = [];
  const endpoint = use(startRawEndpoint((socket) => void held.push(() => socket.write(response("ok")))));
  const balancer = serve(
    [{ address: endpoint.address, maxConnections: 1 }],
    { queue: { size: 2, timeout: "5s" } },
    {},
    clock,
  );
  const answers = [0, 1, 2, 3].map(() => sendRaw(balancer.port, GET, one));
  await settle();
  expect(balancer.inFlight()).toBe(1);
  // One is with the endpoint, two wait, one too many is refused at once.
  const first = await Promise.race(answers);
  expect(statusOf(first.text)).toBe(503);
  held.shift()?.();
  await settle();
  expect(balancer.inFlight()).toBe(1);
  clock.advance(5_100);
  await settle();
  held.shift()?.();
  const statuses = (await Promise.all(answers)).map(({ text }) => statusOf(text)).sort((a, b) => Number(a) - Number(b));
  expect(statuses).toEqual([200, 200, 503, 503]);
  expect(balancer.inFlight()).toBe(0);
});

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

test("a client that leaves gives everything back", async () => {
  const endpoint = use(startRawEndpoint(() => {}));
  const balancer = serve([endpoint.address]);
  const socket = connect({ port: balancer.port, host: "127.0.0.1" });
  socket.write(GET);
  await settle();
  expect(balancer.inFlight()).toBe(1);
  socket.resetAndDestroy();
  await settle();
  expect(balancer.inFlight()).toBe(0);
  expect(balancer.openConnections()).toBe(0);
});

test("limits on connections, per client and in all", async () => {
  const balancer = serve([ok().address], {}, { maxConnectionsPerClient: 2 });
  const sockets = [0, 1].map(() => connect({ port: balancer.port, host: "127.0.0.1" }));
  await settle();
  const refused = await sendRaw(balancer.port, GET);
  expect(statusOf(refused.text)).toBe(503);
  expect(refused.text).toMatch(/\r\nDate: .* GMT\r\n/);
  expect(refused.text).toEndWith("503 Service Unavailable: Too many connections are open. (E_TOO_MANY_CONNECTIONS)\n");
  expect(reasons(balancer)).toEqual(["E_TOO_MANY_CONNECTIONS"]);
  expect(refused.closed).toBe(true);
  for (const socket of sockets) socket.destroy();
  await settle();
  expect(statusOf((await sendRaw(balancer.port, GET, one)).text)).toBe(200);
});

test("a connection is closed after its last request", async () => {
  const balancer = serve([ok().address], {}, { maxRequestsPerConnection: 3 });
  const { text, closed } = await sendRaw(balancer.port, GET.repeat(5));
  expect(countResponses(text)).toBe(3);
  expect(text.match(/^Connection: close\r$/gm)?.length).toBe(1);
  expect(closed).toBe(true);
});

test("a slow reader of a large answer costs little memory, and gets all of it", async () => {
  const size = 64 * 1_048_576;
  const piece = Buffer.alloc(65_536, "x");
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch() {
      let left = size;
      const stream = new ReadableStream({
        type: "direct",
        async pull(controller: { write(bytes: Buffer): number | Promise<number>; flush(): unknown; end(): void }) {
          while (left > 0) {
            await controller.write(piece);
            await controller.flush();
            left -= piece.length;
          }
          controller.end();
        },
      } as never);
      return new Response(stream, { headers: { "Content-Length": String(size) } });
    },
  });
  running.push({ stop: () => server.stop(true) });
  const balancer = serve([`127.0.0.1:${server.port}`]);
  const socket = connect({ port: balancer.port, host: "127.0.0.1" });
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await Bun.sleep(300);
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  await Bun.sleep(500);
  // Nobody reads: it must have come to a standstill long before the whole was taken in.
  expect(process.memoryUsage.rss() - before).toBeLessThan(8 * 1_048_576);
  let received = 0;
  socket.on("data", (bytes) => {
    received += bytes.length;
  });
  const done = new Promise((resolve) => socket.on("close", resolve));
  socket.resume();
  await done;
  expect(received).toBeGreaterThan(size);
});

test("a reload does not disturb what is under way", async () => {
  const endpoint = use(startRawEndpoint((socket) => setTimeout(() => socket.write(response("late")), 100)));
  const balancer = serve([endpoint.address]);
  const answer = sendRaw(balancer.port, GET, one);
  await settle();
  balancer.reload({
    listeners: { web: { address: "127.0.0.1:0", pool: "other" } },
    pools: { other: { endpoints: [ok().address] } },
  });
  expect((await answer).text).toEndWith("late");
  expect((await sendRaw(balancer.port, GET, one)).text).toEndWith("ok");
  expect(balancer.inFlight()).toBe(0);
});

test("the access log: how long a head was waited for, and what of an answer was body", async () => {
  const clock = new FakeClock();
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-exchanges-"));
  use({ stop: () => rmSync(folder, { recursive: true }) });
  const path = join(folder, "access.log");
  const endpoint = use(
    startRawEndpoint((socket, all) => {
      const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
      socket.write(
        all.includes("/chunked") ? chunked : `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${response("ok")}`,
      );
    }),
  );
  const balancer = startBalancer(
    {
      listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
      routes: [{ match: { path: "/own" }, respond: { body: "mine" } }],
      pools: { app: { endpoints: [endpoint.address] } },
      accessLog: { path, format: "{method} {path} {status} {bodyBytesOut} {duration} {reason}" },
    },
    { clock, timers: clock },
  );
  for (const [method, target] of [
    ["GET", "/plain"],
    ["GET", "/chunked"],
    ["GET", "/own"],
    ["HEAD", "/own"],
  ] as const) {
    await sendRaw(balancer.port, `${method} ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  }
  const half = sendRaw(balancer.port, "GET / HT", one);
  await settle();
  clock.advance(10_100);
  const { text } = await half;
  await balancer.stop();
  expect(readFileSync(path, "latin1").split("\n")).toEqual([
    "GET /plain 200 2 0 -",
    // The chunks as they were sent.
    "GET /chunked 200 13 0 -",
    "GET /own 200 4 0 -",
    "HEAD /own 200 0 0 -",
    `- - 408 ${text.split("\r\n\r\n")[1]?.length} 10000 E_HEADER_TIMEOUT`,
    "",
  ]);
});
