/** The PROXY protocol between evenkeel and real HAProxy and nginx, in front of it and behind it. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { sendRaw } from "../support/raw-client.ts";
import { startRawEndpoint } from "../support/raw-endpoint.ts";
import { haproxy, nginx, type RealProxy, startHaproxy, startNginx } from "../support/real-proxy.ts";
import { eventually, tcpClient, tcpEndpoint } from "../support/tcp.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function balancer(config: ConfigInput, clock?: FakeClock): Balancer {
  const started = startBalancer(config, clock === undefined ? {} : { clock, timers: clock });
  stops.push(() => started.stop());
  return started;
}

function running(proxy: RealProxy): number {
  stops.push(() => proxy.stop());
  return proxy.ports[0] as number;
}

const HAPROXY = "defaults\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n";
const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/** An HTTP endpoint that answers with the head it was sent. */
function mirror(): string {
  const endpoint = startRawEndpoint((socket, all) => {
    if (!all.endsWith("\r\n\r\n")) return;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${all.length}\r\n\r\n${all}`);
  });
  stops.push(() => endpoint.stop());
  return endpoint.address;
}

const incoming = { address: "127.0.0.1:0", proxyProtocol: { from: ["127.0.0.0/8"] } };

/** What a client behind a trusted proxy sends itself. */
function headerFor(ip: string): string {
  return `PROXY TCP4 ${ip} 192.0.2.99 4711 443\r\n`;
}

describe("a header from a trusted proxy", () => {
  test("HTTP: its client is the client", async () => {
    const { port } = balancer({
      listeners: { web: { ...incoming, pool: "app" } },
      pools: { app: { endpoints: [mirror()] } },
    });
    const { text } = await sendRaw(port, headerFor("198.51.100.7") + REQUEST);
    expect(text).toContain("X-Forwarded-For: 198.51.100.7\r\n");
    expect(text).toContain("X-Real-IP: 198.51.100.7\r\n");
  });

  test("HTTP: byte by byte", async () => {
    const { port } = balancer({
      listeners: { web: { ...incoming, pool: "app" } },
      pools: { app: { endpoints: [mirror()] } },
    });
    const { text } = await sendRaw(port, (headerFor("198.51.100.7") + REQUEST).split(""));
    expect(text).toContain("X-Forwarded-For: 198.51.100.7\r\n");
  });

  test("limits and routes hold for that client", async () => {
    const { port } = balancer({
      listeners: { web: { ...incoming, maxConnectionsPerClient: 1 } },
      routes: [{ match: { clientIp: "198.51.100.0/24" }, respond: { body: "known" } }],
      pools: {},
    });
    const first = await tcpClient(port);
    stops.push(() => first.socket.destroy());
    first.socket.write(`${headerFor("198.51.100.7")}GET / HTTP/1.1\r\nHost: a\r\n\r\n`);
    await first.until(() => first.text().endsWith("known"));
    expect((await sendRaw(port, headerFor("198.51.100.7") + REQUEST)).text).toStartWith("HTTP/1.1 503");
    expect((await sendRaw(port, headerFor("198.51.100.8") + REQUEST)).text).toEndWith("known");
    expect((await sendRaw(port, headerFor("203.0.113.1") + REQUEST)).text).toStartWith("HTTP/1.1 404");
  });

  for (const [name, bytes] of [
    ["no header at all", REQUEST],
    ["half a header", "PROXY TCP4 198.51"],
    ["a wrong one", "PROXY TCP4 198.51.100.7 192.0.2.99 4711 99999\r\n"],
  ] as const) {
    test(`${name} is refused`, async () => {
      const started = balancer({ listeners: { web: incoming }, pools: {} });
      const { text, closed } = await sendRaw(started.port, bytes, { endAfter: true });
      expect([text, closed]).toEqual(["", true]);
      expect(started.openConnections()).toBe(0);
    });
  }

  test("silence is refused in time", async () => {
    const clock = new FakeClock();
    const { port } = balancer({ listeners: { web: incoming }, pools: {} }, clock);
    const client = await tcpClient(port);
    client.socket.write("PROXY ");
    await Bun.sleep(50);
    clock.advance(5_200);
    await client.closed;
  });

  test("others are taken at their own address", async () => {
    const { port } = balancer({
      listeners: { web: { address: "127.0.0.1:0", pool: "app", proxyProtocol: { from: ["10.0.0.0/8"] } } },
      pools: { app: { endpoints: [mirror()] } },
    });
    expect((await sendRaw(port, REQUEST)).text).toContain("X-Forwarded-For: 127.0.0.1\r\n");
    expect((await sendRaw(port, headerFor("198.51.100.7") + REQUEST)).text).toStartWith("HTTP/1.1 400");
  });
});

if (haproxy === null || nginx === null) console.log("skipped: haproxy and nginx are needed as peers");
else {
  describe("HAProxy in front", () => {
    for (const send of ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]) {
      test(send, async () => {
        const endpoint = await tcpEndpoint((socket) => socket.pipe(socket));
        stops.push(endpoint.stop);
        const to = balancer({
          listeners: { db: { ...incoming, protocol: "tcp", pool: "app" } },
          pools: { app: { endpoints: [endpoint.address], connections: { proxyProtocol: { version: 1 } } } },
        });
        const front = running(
          startHaproxy(
            ["127.0.0.1"],
            ([bind]) =>
              `${HAPROXY}listen l\n mode tcp\n bind ${bind}\n unique-id-format id\n server s 127.0.0.1:${to.port} ${send}\n`,
          ),
        );
        const client = await tcpClient(front);
        const { localPort } = client.socket;
        client.socket.write("hello");
        await client.until(() => client.text().endsWith("hello"));
        // Through HAProxy's header and ours to the endpoint, which echoes it: the client's own address and port.
        expect(client.text()).toBe(`PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${front}\r\nhello`);
        client.socket.destroy();
        await eventually(() => to.inFlight() === 0 && to.openConnections() === 0, "nothing left");
      });
    }
  });

  describe("behind us", () => {
    for (const version of [1, 2] as const) {
      test(`HAProxy takes version ${version}`, async () => {
        const endpoint = running(
          startHaproxy(
            ["127.0.0.1"],
            ([bind]) =>
              `${HAPROXY}frontend f\n mode http\n bind ${bind} accept-proxy\n http-request return status 200 content-type text/plain lf-string "%ci:%cp"\n`,
          ),
        );
        const { port } = balancer({
          listeners: { web: { ...incoming, pool: "app" } },
          pools: { app: { endpoints: [`127.0.0.1:${endpoint}`], connections: { proxyProtocol: { version } } } },
        });
        for (const ip of ["198.51.100.7", "198.51.100.8"])
          expect((await sendRaw(port, headerFor(ip) + REQUEST)).text).toEndWith(`\r\n${ip}:4711`);
      });

      test(`nginx takes version ${version}`, async () => {
        const endpoint = running(
          startNginx(
            ["127.0.0.1"],
            ([port], folder) =>
              `events {} http { access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
               server { listen 127.0.0.1:${port} proxy_protocol; location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr"; } } }`,
          ),
        );
        const { port } = balancer({
          listeners: { web: { ...incoming, pool: "app" } },
          pools: { app: { endpoints: [`127.0.0.1:${endpoint}`], connections: { proxyProtocol: { version } } } },
        });
        expect((await sendRaw(port, headerFor("198.51.100.7") + REQUEST)).text).toEndWith(
          "\r\n198.51.100.7:4711 192.0.2.99",
        );
      });
    }
  });
}
