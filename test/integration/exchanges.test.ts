/** The life of exchanges when things go wrong: retries, limits, queues, clients that leave or do not read. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { startBalancer } from "../support/balancer.ts";
import { deadAddress, GET, ok, one, reasons, serve, settle, stopAll, use } from "../support/exchange-fixture.ts";
import { countResponses, sendRaw, statusOf } from "../support/raw-client.ts";
import { response, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);

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
  use({ stop: () => server.stop(true) });
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
