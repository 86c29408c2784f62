/** TLS passed through by the name in its handshake: real TLS clients and endpoints, whatever way the hello is cut. */
import { afterEach, describe, expect, test } from "bun:test";
import type { AddressInfo } from "node:net";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, createServer } from "node:tls";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { makeCertificate } from "../support/certificate.ts";
import { eventually, tcpClient } from "../support/tcp.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** A TLS endpoint that says its name and the protocol that was agreed on. */
async function tlsEndpoint(name: string): Promise<string> {
  const server = createServer({ ...makeCertificate(name), ALPNProtocols: ["h2", "http/1.1"] }, (socket) => {
    socket.on("error", () => {});
    socket.end(`${name} ${String(socket.alpnProtocol)}`);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  stops.push(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function start(clock?: FakeClock): Promise<Balancer> {
  const names = ["one", "two", "three", "rest"];
  const addresses = await Promise.all(names.map(tlsEndpoint));
  const listeners = ["tls"];
  const balancer = startBalancer(
    {
      listeners: { tls: { address: "127.0.0.1:0", protocol: "tcp", pool: "rest" } },
      routes: [
        { listeners, match: { serverName: "one.example" }, pool: "one" },
        { listeners, match: { serverName: "*.two.example" }, pool: "two" },
        { listeners, match: { serverName: "*.two.example", alpn: "h2" }, pool: "three" },
      ],
      pools: Object.fromEntries(names.map((name, index) => [name, { endpoints: [addresses[index]!] }])),
    },
    clock === undefined ? {} : { clock, timers: clock },
  );
  stops.push(() => balancer.stop());
  return balancer;
}

/** What the endpoint says to a client that asks for this name; by way of a relay that cuts the bytes when told to. */
function ask(port: number, servername: string | undefined, alpn: string[] = [], cut = 0): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ port, host: "127.0.0.1", noDelay: true });
    const write = socket.write.bind(socket);
    let first = true;
    if (cut > 0) {
      socket.write = ((bytes: Buffer, ...rest: unknown[]) => {
        if (!first || typeof bytes === "string") return write(bytes as never, ...(rest as []));
        first = false;
        for (let at = 0; at < bytes.length; at += cut) write(bytes.subarray(at, at + cut));
        return true;
      }) as never;
    }
    const tls = connectTls({
      socket,
      ...(servername === undefined ? {} : { servername }),
      ALPNProtocols: alpn,
      rejectUnauthorized: false,
    });
    let text = "";
    tls.on("data", (bytes: Buffer) => {
      text += bytes.toString();
    });
    tls.on("end", () => resolve(text));
    tls.on("error", reject);
    stops.push(() => tls.destroy());
  });
}

describe("the name in the handshake", () => {
  const cases: [string | undefined, string[], string][] = [
    ["one.example", [], "one false"],
    ["ONE.Example", [], "one false"],
    ["a.two.example", ["http/1.1"], "two http/1.1"],
    ["a.b.two.example", [], "two false"],
    ["a.two.example", ["h2", "http/1.1"], "three h2"],
    ["two.example", [], "rest false"],
    ["elsewhere.example", ["h2"], "rest h2"],
    [undefined, [], "rest false"],
  ];
  for (const [name, alpn, expected] of cases) {
    test(`${name ?? "none"} with ${alpn.join(" ") || "no protocols"} goes to ${expected}`, async () => {
      const balancer = await start();
      expect(await ask(balancer.port, name, alpn)).toBe(expected);
      await eventually(() => balancer.inFlight() === 0 && balancer.openConnections() === 0, "nothing left");
    });
  }

  test("a hello in pieces of seven bytes is understood", async () => {
    const balancer = await start();
    expect(await ask(balancer.port, "a.two.example", ["h2"], 7)).toBe("three h2");
  });
});

describe("what is no hello", () => {
  for (const [name, text] of [
    ["plain HTTP", "GET / HTTP/1.1\r\nHost: one.example\r\n\r\n"],
    ["SSH", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["an alert", "\x15\x03\x01\x00\x02\x02\x28"],
  ] as const) {
    test(`${name} is refused`, async () => {
      const balancer = await start();
      const client = await tcpClient(balancer.port);
      client.socket.write(Buffer.from(text, "latin1"));
      await client.closed;
      expect(client.received()).toBe(0);
      await eventually(() => balancer.openConnections() === 0, "nothing left");
    });
  }

  test("silence is refused when the time for the hello is over", async () => {
    const clock = new FakeClock();
    const balancer = await start(clock);
    const client = await tcpClient(balancer.port);
    client.socket.write(Buffer.from([22, 3, 1]));
    await eventually(() => balancer.openConnections() === 1, "accepted");
    clock.advance(4_900);
    expect(client.ended()).toBe("");
    clock.advance(300);
    await client.closed;
    await eventually(() => balancer.openConnections() === 0, "nothing left");
  });
});
