/** TCP listeners that end TLS: endpoints get what is in it, with back-pressure and half-close as without. */
import { afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { sendRaw } from "../support/raw-client.ts";
import { eventually, type TcpEndpoint, tcpEndpoint } from "../support/tcp.ts";
import { tlsClient } from "../support/tls-client.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function endpointOf(serve: Parameters<typeof tcpEndpoint>[0]): Promise<TcpEndpoint> {
  const endpoint = await tcpEndpoint(serve);
  stops.push(endpoint.stop);
  return endpoint;
}

function serve(endpoint: string, more: object = {}, clock?: FakeClock): Balancer {
  const tls = { certificates: [{ selfSigned: { names: ["main.test"] } }] };
  const db = { address: "127.0.0.1:0", protocol: "tcp" as const, tls, pool: "app", ...more };
  const config = { listeners: { db }, pools: { app: { endpoints: [endpoint] } } };
  const started = startBalancer(config, clock === undefined ? {} : { clock, timers: clock });
  stops.push(() => started.stop());
  return started;
}

function nothingIsLeft(started: Balancer): Promise<void> {
  return eventually(() => started.openConnections() === 0 && started.inFlight() === 0, "nothing left");
}

const BIG = Buffer.alloc(8_000_000, "0123456789abcdef-");
const digest = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");

describe("TLS that ends at a TCP listener", () => {
  test("there and back, and the end of both", async () => {
    const endpoint = await endpointOf((socket) => socket.pipe(socket));
    const started = serve(endpoint.address);
    const client = await tlsClient(started.port);
    client.write("hello");
    await client.until(() => client.text() === "hello");
    client.end();
    await client.closed;
    expect(client.text()).toBe("hello");
    await nothingIsLeft(started);
  });

  test("an endpoint that speaks first", async () => {
    const endpoint = await endpointOf((socket) => socket.write("220 ready\r\n"));
    const client = await tlsClient(serve(endpoint.address).port);
    await client.until(() => client.text() === "220 ready\r\n");
    expect(client.text()).toBe("220 ready\r\n");
    client.destroy();
  });

  test("an answer after the client has finished sending", async () => {
    const endpoint = await endpointOf((socket) => {
      let got = "";
      socket.on("data", (bytes) => {
        got += bytes;
      });
      socket.on("end", () => setTimeout(() => socket.end(`got ${got}`), 20));
    });
    const started = serve(endpoint.address);
    const client = await tlsClient(started.port);
    client.write("all of it");
    client.end();
    await client.until(() => false);
    expect(client.text()).toBe("got all of it");
    await nothingIsLeft(started);
  });

  test("a lot, in both directions", async () => {
    const endpoint = await endpointOf((socket) => socket.pipe(socket));
    const started = serve(endpoint.address);
    const client = await tlsClient(started.port);
    client.write(BIG);
    client.end();
    await client.until(() => client.received() === BIG.length);
    expect(digest(Buffer.from(client.text(), "latin1"))).toBe(digest(BIG));
    client.destroy();
    await nothingIsLeft(started);
  });

  test("a lot for a client that says nothing of its end, and whose endpoint closes", async () => {
    const endpoint = await endpointOf((socket) => socket.end(BIG));
    const started = serve(endpoint.address);
    const client = await tlsClient(started.port);
    await client.until(() => false);
    expect(client.received()).toBe(BIG.length);
    client.destroy();
    await nothingIsLeft(started);
  });

  test("an endpoint that breaks off is no end in good order", async () => {
    const endpoint = await endpointOf((socket) => {
      socket.on("data", () => socket.resetAndDestroy());
    });
    const started = serve(endpoint.address);
    const client = await tlsClient(started.port);
    client.write("hello");
    await client.closed;
    await nothingIsLeft(started);
  });

  test("limits and the idle timeout hold", async () => {
    const clock = new FakeClock();
    const endpoint = await endpointOf((socket) => socket.pipe(socket));
    const started = serve(endpoint.address, { maxConnections: 1, timeouts: { idle: "5s" } }, clock);
    const first = await tlsClient(started.port);
    first.write("a");
    await first.until(() => first.text() === "a");
    const second = await tlsClient(started.port);
    await second.closed;
    expect(started.openConnections()).toBe(1);
    clock.advance(5_200);
    await first.closed;
    await nothingIsLeft(started);
  });

  test("plain HTTP gets its 400 here as well, and the endpoint never sees it", async () => {
    const endpoint = await endpointOf(() => {});
    const started = serve(endpoint.address);
    expect((await sendRaw(started.port, "GET / HTTP/1.1\r\n\r\n")).text).toStartWith("HTTP/1.1 400 ");
    expect(endpoint.sockets).toHaveLength(0);
  });
});
