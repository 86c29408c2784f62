/** Clients that are slow, greedy or gone. Each must end by our limits, cost bounded memory, and disturb nobody. */
import { expect, test } from "bun:test";
import { LISTENER } from "../../src/observability/metrics-table.ts";
import { countResponses, sendRaw, statusOf } from "../support/raw-client.ts";
import { startEchoEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";
import {
  Client,
  connected,
  expectServed,
  GET,
  MIB,
  netEndpoint,
  okEndpoint,
  one,
  openDescriptors,
  SHORT,
  serve,
  until,
  use,
  writeMuch,
} from "./harness.ts";

const POST = "POST / HTTP/1.1\r\nHost: a\r\n";

test("a head that drips in ends at the header timeout, however steadily it drips", async () => {
  const endpoint = okEndpoint();
  const balancer = serve(endpoint.address, { timeouts: SHORT });
  const client = await connected(balancer.port);
  client.socket.write("GET / HTTP/1.1\r\nHost: a\r\n");
  const drip = setInterval(() => client.socket.write("X"), 40);
  expect(await until(() => client.isOver)).toBe(true);
  clearInterval(drip);
  expect(client.status).toBe(408);
  expect(endpoint.received.join("")).toBe("");
});

test("200 heads that never end are all closed, and others are served meanwhile", async () => {
  const endpoint = okEndpoint();
  const balancer = serve(endpoint.address, { timeouts: SHORT });
  const slow = Array.from({ length: 200 }, () => new Client(balancer.port));
  for (const client of slow) client.socket.write("GET / HTTP/1.1\r\nHost: a\r\nX-");
  for (let probe = 0; probe < 10; probe++) await expectServed(balancer.port);
  expect(await until(() => slow.every((client) => client.isOver))).toBe(true);
  expect(slow.every((client) => client.status === 408)).toBe(true);
});

test("a GET that announces a body and does not send it ends at the body timeout", async () => {
  const balancer = serve(use(startEchoEndpoint()).address, { timeouts: SHORT });
  const { text, closed } = await sendRaw(balancer.port, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  expect([statusOf(text), closed]).toEqual([408, true]);
});

test("a chunked body that stops in its extension ends at the body timeout", async () => {
  const balancer = serve(use(startEchoEndpoint()).address, { timeouts: SHORT });
  const { text } = await sendRaw(balancer.port, `${POST}Transfer-Encoding: chunked\r\n\r\n1;aaaa`);
  expect(statusOf(text)).toBe(408);
});

test("an unread body is not taken for a request (0.CL)", async () => {
  const balancer = serve(okEndpoint().address);
  const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  const respond = "POST /404 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
  for (const head of [POST, respond]) {
    const request = `${head}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`;
    const { text } = await sendRaw(balancer.port, [request.slice(0, -10), request.slice(-10)], { endAfter: true });
    expect(countResponses(text)).toBe(1);
  }
});

test("a million chunks of one byte pass through", async () => {
  let received = 0;
  const endpoint = await netEndpoint((socket) => {
    socket.on("data", (bytes) => {
      received += bytes.length;
      if (bytes.toString("latin1").endsWith("0\r\n\r\n")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
  });
  const balancer = serve(endpoint.address);
  const chunks = "1\r\nx\r\n".repeat(1_000_000);
  const { text } = await sendRaw(balancer.port, `${POST}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`, one);
  expect(statusOf(text)).toBe(200);
  expect(received).toBeGreaterThan(chunks.length);
});

test("an early answer to a large upload reaches a client that goes on sending", async () => {
  const endpoint = await netEndpoint((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nstop");
      socket.pause();
    });
  });
  const balancer = serve(
    endpoint.address,
    { timeouts: SHORT },
    { routes: [{ match: {}, pool: "app", maxBodySize: "0B" }] },
  );
  const client = await connected(balancer.port);
  client.socket.write(`${POST}Content-Length: ${64 * MIB}\r\n\r\n`);
  writeMuch(client.socket, 64 * MIB);
  expect(await until(() => client.text.endsWith("stop"))).toBe(true);
  expect(client.status).toBe(413);
  // What else it sends is thrown away for a while, and then it is the end.
  expect(await until(() => client.closed)).toBe(true);
});

test("a client that never reads is cut off at the write timeout", async () => {
  let written = 0;
  const endpoint = await netEndpoint((socket) => {
    socket.once("data", () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${100 * MIB}\r\n\r\n`);
      writeMuch(socket, 100 * MIB);
      socket.on("drain", () => {
        written = socket.bytesWritten;
      });
    });
  });
  const balancer = serve(endpoint.address, { timeouts: SHORT });
  const client = await connected(balancer.port);
  client.socket.pause();
  client.socket.write(GET);
  expect(await until(() => balancer.inFlight() === 1)).toBe(true);
  expect(await until(() => balancer.openConnections() === 0)).toBe(true);
  // Back-pressure reached the endpoint: most was never asked for.
  expect(written).toBeLessThan(32 * MIB);
});

test("answers that are not read hold up the requests sent ahead, and are cut off at the write timeout", async () => {
  const body = "x".repeat(100_000);
  const respond = { match: { path: "/fixed" }, respond: { status: 200, body } };
  let asked = 0;
  const endpoint = await netEndpoint((socket) => {
    socket.on("data", (bytes) => {
      const count = bytes.toString("latin1").split("GET ").length - 1;
      asked += count;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`.repeat(count));
    });
  });
  const balancer = serve(
    endpoint.address,
    { timeouts: { ...SHORT, write: "1s" } },
    { routes: [respond, { match: {}, pool: "app" }] },
  );
  for (const path of ["/", "/fixed"]) {
    const before = balancer.requests();
    const client = await connected(balancer.port);
    client.socket.pause();
    client.socket.write(GET.replace("/", path).repeat(2_000));
    expect(await until(() => balancer.openConnections() === 1 && balancer.requests() > before)).toBe(true);
    expect(await until(() => balancer.openConnections() === 0)).toBe(true);
    // 2,000 answers are 200 MB; the kernel takes a few.
    expect(balancer.requests() - before).toBeLessThan(300);
    await expectServed(balancer.port);
  }
  expect(asked).toBeLessThan(300);
});

test("requests sent ahead go on when their answers are read again", async () => {
  const body = "x".repeat(100_000);
  const balancer = serve(okEndpoint().address, {}, { routes: [{ match: {}, respond: { status: 200, body } }] });
  const client = await connected(balancer.port);
  client.socket.pause();
  client.socket.write(GET.repeat(300));
  await Bun.sleep(200);
  client.socket.resume();
  expect(await until(() => client.received > 300 * body.length)).toBe(true);
  expect(balancer.requests()).toBe(300);
});

test("2,000 requests in one go are answered in order, while others are served", async () => {
  const balancer = serve(okEndpoint().address);
  const flood = sendRaw(balancer.port, GET.repeat(2_000), {
    until: (text) => text.length > 0 && countOk(text) === 2_000,
  });
  for (let probe = 0; probe < 5; probe++) await expectServed(balancer.port);
  expect(countOk((await flood).text)).toBe(2_000);
});

function countOk(text: string): number {
  return text.endsWith("ok") ? text.split("HTTP/1.1 200").length - 1 : 0;
}

test("a flood of connections from one client: exactly as many as allowed, and all places come back", async () => {
  const endpoint = okEndpoint();
  const balancer = serve(endpoint.address, { maxConnectionsPerClient: 50, maxConnections: 60, timeouts: SHORT });
  const descriptors = openDescriptors();
  for (let round = 0; round < 3; round++) {
    const flood = await Promise.all(Array.from({ length: 200 }, () => connected(balancer.port)));
    expect(await until(() => flood.filter((client) => client.isOver).length === 150)).toBe(true);
    expect(balancer.openConnections()).toBe(50);
    expect(flood.filter((client) => client.status === 503).length).toBe(150);
    for (const client of flood) client.leave();
    expect(await until(() => balancer.openConnections() === 0)).toBe(true);
    await expectServed(balancer.port);
  }
  expect(balancer.tables.metrics.read("listener", 0, LISTENER.rejected)).toBe(450);
  expect(await until(() => balancer.tables.metrics.read("listener", 0, LISTENER.open) === 0)).toBe(true);
  expect(await until(() => openDescriptors() <= descriptors + 2)).toBe(true);
});

test("connections that are refused do not stay open when the client does not close", async () => {
  const balancer = serve(okEndpoint().address, { maxConnectionsPerClient: 1 });
  const first = await connected(balancer.port);
  const flood = await Promise.all(Array.from({ length: 100 }, () => connected(balancer.port)));
  expect(await until(() => flood.every((client) => client.isOver))).toBe(true);
  // Two descriptors for the first, and one for each of ours: none is left on the balancer's side.
  const before = openDescriptors();
  for (const client of flood) client.leave();
  expect(await until(() => openDescriptors() <= before - 100)).toBe(true);
  first.leave();
});

test("a churn of connections that are reset leaves nothing behind", async () => {
  const endpoint = use(startRawEndpoint(() => {}));
  const balancer = serve(endpoint.address);
  const descriptors = openDescriptors();
  for (let round = 0; round < 10; round++) {
    const flood = await Promise.all(Array.from({ length: 50 }, () => connected(balancer.port)));
    for (const [index, client] of flood.entries()) client.socket.write(index % 2 === 0 ? GET : GET.slice(0, 20));
    await until(() => balancer.inFlight() === 25);
    for (const client of flood) client.socket.resetAndDestroy();
    expect(await until(() => balancer.inFlight() === 0 && balancer.openConnections() === 0)).toBe(true);
  }
  expect(await until(() => openDescriptors() <= descriptors + 2)).toBe(true);
});

test("clients that have finished sending get all that they asked for", async () => {
  const balancer = serve(okEndpoint().address);
  const { text, closed } = await sendRaw(balancer.port, GET.repeat(5), { endAfter: true });
  expect([text.split("HTTP/1.1 200").length - 1, closed]).toEqual([5, true]);
});

test("a client that finishes sending while its answer waits to be read gets the whole of it", async () => {
  const body = "x".repeat(16 * MIB);
  const balancer = serve(okEndpoint().address, {}, { routes: [{ match: {}, respond: { status: 200, body } }] });
  for (const connection of ["keep-alive", "close"]) {
    const client = await connected(balancer.port);
    client.socket.pause();
    client.socket.write(`GET / HTTP/1.1\r\nHost: a\r\nConnection: ${connection}\r\n\r\n`);
    await until(() => balancer.requests() > 0);
    client.socket.end();
    await Bun.sleep(50);
    client.socket.resume();
    expect(await until(() => client.isOver)).toBe(true);
    expect(client.received).toBeGreaterThan(body.length);
  }
});

test("an answer that ends with the connection is reset, not closed, when the client stops reading it", async () => {
  const body = "x".repeat(16 * MIB);
  const balancer = serve(
    okEndpoint().address,
    { timeouts: SHORT },
    { routes: [{ match: {}, respond: { status: 200, body } }] },
  );
  const client = await connected(balancer.port);
  let failed = false;
  client.socket.on("error", () => {
    failed = true;
  });
  client.socket.pause();
  client.socket.write("GET / HTTP/1.0\r\n\r\n");
  expect(await until(() => balancer.requests() > 0 && balancer.openConnections() === 0)).toBe(true);
  client.socket.resume();
  expect(await until(() => failed)).toBe(true);
  expect(client.ended).toBe(false);
});

test("a client that has finished sending and whose answer does not come is let go", async () => {
  const balancer = serve(use(startRawEndpoint(() => {})).address, { timeouts: SHORT });
  const client = await connected(balancer.port);
  client.socket.end(GET);
  expect(await until(() => balancer.inFlight() === 1)).toBe(true);
  expect(await until(() => client.isOver, 8_000)).toBe(true);
}, 15_000);
