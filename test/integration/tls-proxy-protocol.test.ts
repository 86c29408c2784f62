/** The PROXY protocol before TLS: the header in any pieces, together with the ClientHello or apart, from real HAProxy as well. */
import { afterEach, describe, expect, test } from "bun:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { ACME_TLS_PROTOCOL, type Challenge } from "../../src/tls/acme/challenges.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { sendRaw } from "../support/raw-client.ts";
import { haproxy, startHaproxy } from "../support/real-proxy.ts";
import { type RelayOptions, startRelay } from "../support/relay.ts";
import { eventually, tcpClient, tcpEndpoint } from "../support/tcp.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const HEADER = "PROXY TCP4 198.51.100.7 192.0.2.99 4711 443\r\n";
const tls = { certificates: [{ selfSigned: { names: ["a.test"] } }] };
const from = { from: ["127.0.0.0/8"] };

function balancer(config: ConfigInput, clock?: FakeClock): Balancer {
  const started = startBalancer(config, clock === undefined ? {} : { clock, timers: clock });
  stops.push(() => started.stop());
  return started;
}

/** Answers with the client's address as it is known. */
function web(proxyProtocol: object | false = from, clock?: FakeClock): Balancer {
  const listener = { address: "127.0.0.1:0", tls, ...(proxyProtocol !== false && { proxyProtocol }) };
  const known = { match: { clientIp: "198.51.100.7" }, respond: { body: "198.51.100.7" } };
  const own = { match: { clientIp: "127.0.0.0/8" }, respond: { body: "127.0.0.1" } };
  return balancer({ listeners: { web: listener }, routes: [known, own], pools: {} } as ConfigInput, clock);
}

async function relay(options: RelayOptions): Promise<number> {
  const started = await startRelay(options);
  stops.push(started.stop);
  return started.port;
}

/** One request over TLS; what came, or why nothing did. */
function ask(port: number, options: ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const client: TLSSocket = connect(
      { port, host: "127.0.0.1", servername: "a.test", rejectUnauthorized: false, ...options },
      () => client.write("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"),
    );
    client.on("data", (bytes: Buffer) => {
      text += bytes;
    });
    client.on("error", (error: Error) => resolve(error.message));
    client.on("close", () => resolve(text.slice(text.indexOf("\r\n\r\n") + 4) || "closed"));
  });
}

function nothingIsLeft(started: Balancer): Promise<void> {
  return eventually(() => started.openConnections() === 0, "no connection is left");
}

describe("a header before TLS", () => {
  const cuts: [string, (bytes: Buffer) => Buffer[]][] = [
    ["in one piece with the ClientHello", (bytes) => [bytes]],
    ["byte by byte, hello included", (bytes) => [...bytes].map((byte) => Buffer.from([byte]))],
    ["cut within the header", (bytes) => [bytes.subarray(0, 20), bytes.subarray(20)]],
    ["cut behind the header", (bytes) => [bytes.subarray(0, HEADER.length), bytes.subarray(HEADER.length)]],
    [
      "cut in the hello's record header",
      (bytes) => [bytes.subarray(0, HEADER.length + 3), bytes.subarray(HEADER.length + 3)],
    ],
    ["cut in the middle of the hello", (bytes) => [bytes.subarray(0, 200), bytes.subarray(200)]],
  ];
  for (const [name, cut] of cuts) {
    test(name, async () => {
      const started = web();
      expect(await ask(await relay({ to: started.port, before: HEADER, cut }))).toBe("198.51.100.7");
      await nothingIsLeft(started);
    });
  }

  test("long before the client's first byte", async () => {
    const started = web();
    expect(await ask(await relay({ to: started.port, before: HEADER, early: true }))).toBe("198.51.100.7");
  });

  test("one that tells of nobody: the proxy's own connection", async () => {
    expect(await ask(await relay({ to: web().port, before: "PROXY UNKNOWN\r\n" }))).toBe("127.0.0.1");
  });

  test("many at a time, each its own", async () => {
    const started = web();
    const port = await relay({ to: started.port, before: HEADER });
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask(port)));
    expect(new Set(answers)).toEqual(new Set(["198.51.100.7"]));
    await nothingIsLeft(started);
  });

  test("others come straight to TLS, at their own address", async () => {
    const started = web({ from: ["10.0.0.0/8"] });
    expect(await ask(started.port)).toBe("127.0.0.1");
    expect(await ask(await relay({ to: started.port, before: HEADER }))).not.toContain("198.51.100.7");
    await nothingIsLeft(started);
  });

  test("TCP: what TLS carries reaches the endpoint with the header's client", async () => {
    const endpoint = await tcpEndpoint((socket) => socket.pipe(socket));
    stops.push(endpoint.stop);
    const listener = { address: "127.0.0.1:0", protocol: "tcp" as const, tls, proxyProtocol: from, pool: "app" };
    const to = balancer({
      listeners: { db: listener },
      pools: { app: { endpoints: [endpoint.address], connections: { proxyProtocol: { version: 1 } } } },
    });
    const port = await relay({ to: to.port, before: HEADER });
    const answer = await new Promise<string>((resolve) => {
      const client = connect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => client.write("hello"));
      let text = "";
      client.on("data", (bytes: Buffer) => {
        text += bytes;
        if (text.endsWith("hello")) client.end();
      });
      client.on("close", () => resolve(text));
    });
    expect(answer).toBe(`${HEADER}hello`);
    await nothingIsLeft(to);
  });
});

describe("refused before TLS", () => {
  const cases: readonly [string, string, boolean][] = [
    ["no header, but a ClientHello", "\x16\x03\x01\x00\x05hello", false],
    ["plain HTTP", "GET / HTTP/1.1\r\n\r\n", false],
    ["half a header and the end", "PROXY TCP4 198.51", true],
    ["nothing but the end", "", true],
    ["a wrong header", "PROXY TCP4 198.51.100.7 192.0.2.99 4711 99999\r\n", false],
  ];
  for (const [name, bytes, endAfter] of cases) {
    test(name, async () => {
      const started = web();
      expect(await sendRaw(started.port, bytes, { endAfter })).toEqual({ text: "", closed: true });
      await nothingIsLeft(started);
    });
  }

  test("a client that goes away in the middle leaves nothing", async () => {
    const started = web();
    const before = openDescriptors();
    for (let round = 0; round < 20; round++) {
      const client = await tcpClient(started.port);
      client.socket.write(HEADER.slice(0, round));
      await Bun.sleep(2);
      if (round % 2 === 0) client.socket.resetAndDestroy();
      else client.socket.end();
      await client.closed;
    }
    await eventually(() => openDescriptors() <= before, "all descriptors are given back");
  });

  test("silence, before the header and between it and TLS", async () => {
    const clock = new FakeClock();
    const { port } = web(from, clock);
    for (const [bytes, waitMs] of [
      ["PROXY TCP4", 5_200],
      [HEADER, 10_200],
    ] as const) {
      const client = await tcpClient(port);
      client.socket.write(bytes);
      for (let look = 0; look < 20; look++) {
        await Bun.sleep(5);
        clock.advance(2);
      }
      expect(client.ended()).toBe("");
      clock.advance(waitMs);
      await client.closed;
    }
  });
});

describe("a challenge on the port that serves", () => {
  const challenge: Challenge = { type: "tls-alpn-01", name: "b.test", token: "token", keyAuthorization: "token.key" };

  for (const proxyProtocol of [false, from] as const) {
    test(proxyProtocol === false ? "without a proxy in front" : "behind a proxy", async () => {
      const started = web(proxyProtocol);
      const before = proxyProtocol === false ? "" : HEADER;
      const usual = proxyProtocol === false ? "127.0.0.1" : "198.51.100.7";
      const port = await relay({ to: started.port, before });
      const validate = (ALPNProtocols: string[], servername = "b.test"): Promise<string> =>
        new Promise((resolve) => {
          const options = { port, host: "127.0.0.1", servername, ALPNProtocols, rejectUnauthorized: false };
          const client = connect(options, () => {
            resolve(`${client.alpnProtocol} ${client.getPeerCertificate().subjectaltname}`);
            client.end();
          });
          client.on("error", () => resolve("refused"));
        });
      expect(await validate([ACME_TLS_PROTOCOL])).toBe("refused");
      started.dataPath.setChallenges([challenge]);
      expect(await validate([ACME_TLS_PROTOCOL])).toBe("acme-tls/1 DNS:b.test");
      expect(await validate([ACME_TLS_PROTOCOL], "other.test")).toBe("refused");
      expect(await validate([ACME_TLS_PROTOCOL, "http/1.1"])).toBe("http/1.1 DNS:a.test");
      expect(await ask(port)).toBe(usual);
      const slow = await relay({
        to: started.port,
        before,
        cut: (bytes) => [...bytes].map((byte) => Buffer.from([byte])),
      });
      expect(await ask(slow)).toBe(usual);
      expect((await sendRaw(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")).text).toStartWith("HTTP/1.1 400 Bad Request");
      started.dataPath.setChallenges([]);
      expect(await validate([ACME_TLS_PROTOCOL])).toBe("refused");
      expect(await ask(port)).toBe(usual);
      await nothingIsLeft(started);
    });
  }

  test("an answer over HTTP, before any route, and only while it is wanted", async () => {
    const started = balancer({
      listeners: { web: { address: "127.0.0.1:0" } },
      routes: [{ respond: { body: "routed" } }],
    });
    const get = async (path: string, method = "GET"): Promise<string> => {
      const { text } = await sendRaw(
        started.port,
        `${method} ${path} HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n`,
      );
      return text.slice(text.indexOf("\r\n\r\n") + 4);
    };
    started.dataPath.setChallenges([{ ...challenge, type: "http-01" }]);
    expect(await get("/.well-known/acme-challenge/token")).toBe("token.key");
    expect(await get("/.well-known/acme-challenge/token", "POST")).toBe("routed");
    if (Bun.which("curl") !== null) {
      const url = `http://127.0.0.1:${started.port}/.well-known/acme-challenge/token`;
      const curl = Bun.spawn(["curl", "-s", "--http2-prior-knowledge", url], { stdout: "pipe" });
      expect(await new Response(curl.stdout).text()).toBe("token.key");
    }
    expect(await get("/.well-known/acme-challenge/tokens")).toBe("routed");
    expect(await get("/")).toBe("routed");
    started.dataPath.setChallenges([]);
    expect(await get("/.well-known/acme-challenge/token")).toBe("routed");
  });
});

if (haproxy === null) console.log("skipped: haproxy is needed as a peer");
else {
  for (const send of ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id"]) {
    test(`HAProxy speaks TLS with us behind its header: ${send}`, async () => {
      const started = web();
      const front = startHaproxy(
        ["127.0.0.1"],
        ([bind]) =>
          `defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nlisten l\n bind ${bind}\n` +
          ` unique-id-format id\n http-request set-src hdr(x-source)\n server s 127.0.0.1:${started.port} ssl verify none sni str(a.test) ${send}\n`,
      );
      stops.push(() => front.stop());
      const request = (ip: string) => `GET / HTTP/1.1\r\nHost: a.test\r\nX-Source: ${ip}\r\nConnection: close\r\n\r\n`;
      expect((await sendRaw(front.ports[0] as number, request("198.51.100.7"))).text).toEndWith("\r\n\r\n198.51.100.7");
      expect((await sendRaw(front.ports[0] as number, request("127.0.0.5"))).text).toEndWith("\r\n\r\n127.0.0.1");
    });
  }
}

function openDescriptors(): number {
  return [...new Bun.Glob("*").scanSync({ cwd: "/proc/self/fd", onlyFiles: false })].length;
}
