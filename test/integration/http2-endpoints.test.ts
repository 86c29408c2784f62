/** HTTP/2 and TLS towards endpoints: every combination of what clients and endpoints speak, with Node on both ends. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { FRAME } from "../../src/protocols/http2/frames.ts";
import { FrameScript } from "../../src/upstreams/http2/testing.ts";
import type { Balancer } from "../support/balancer.ts";
import { filesOf, HttpFixture, until } from "../support/http-fixture.ts";
import { type HttpEndpointOptions, type HttpOutcome, node } from "../support/http-peers.ts";
import { hasOpenssl } from "../support/openssl.ts";
import { nginx, startNginx } from "../support/real-proxy.ts";

const sevens = (bytes: number): string => createHash("sha256").update(Buffer.alloc(bytes, 7)).digest("hex");
const MEGABYTES = 6 * 1_048_576;
const STATUS_PATH = "/status?code=";

if (node === null) console.log("skipped: node is not installed");
else if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  const fixture = new HttpFixture();
  const { stops } = fixture;
  const endpoint = (options: HttpEndpointOptions) => fixture.endpoint(options);
  const balancer = (...parameters: Parameters<HttpFixture["balancer"]>) => fixture.balancer(...parameters);

  for (const tls of [false, true])
    for (const from of [1, 2] as const)
      for (const to of [1, 2] as const) {
        describe(`HTTP/${from} to HTTP/${to}, ${tls ? "TLS on both sides" : "plain"}`, () => {
          let started: Balancer;
          const ask = (path: string, more: object = {}): Promise<HttpOutcome> =>
            fixture.client.ask({
              version: from,
              origin: `${tls ? "https" : "http"}://127.0.0.1:${started.port}`,
              path,
              ...(tls && { caPath: fixture.authority.caPath, name: "app.test" }),
              ...more,
            });
          const setUp = async (): Promise<void> => {
            const served = await endpoint({ name: "one", version: to, ...(tls && filesOf(fixture.pair)) });
            const connections = {
              protocol: `http${to}`,
              ...(tls && { tls: { ca: fixture.authority.caPath, serverName: "app.test" } }),
            };
            started = balancer({ endpoints: [served.address], connections }, { tls });
          };

          test("fields, small bodies, statuses without a body, interim answers, trailers", async () => {
            await setUp();
            const info = await ask("/info?x=1", { headers: { "x-one": "1", cookie: "a=b" } });
            const told = JSON.parse(info.text);
            expect(told).toMatchObject({ name: "one", version: to === 1 ? "1.1" : "2.0", path: "/info?x=1" });
            expect(told.headers).toMatchObject({ "x-one": "1", cookie: "a=b", "x-forwarded-for": "127.0.0.1" });
            if (tls) expect(told.serverName).toBe("app.test");
            const echo = await ask("/echo", { method: "POST", body: "hello" });
            expect([echo.status, echo.text, echo.headers["content-length"]]).toEqual([200, "hello", "5"]);
            const chunked = await ask("/echo", { method: "POST", body: "hello", chunked: true });
            expect([chunked.status, chunked.text]).toEqual([200, "hello"]);
            const head = await ask("/big?bytes=1000&length", { method: "HEAD" });
            expect([head.status, head.length, head.headers["content-length"]]).toEqual([200, 0, "1000"]);
            for (const code of [204, 304, 404]) {
              const outcome = await ask(`${STATUS_PATH}${code}`);
              expect([outcome.status, outcome.length, outcome.error]).toEqual([code, 0, undefined]);
            }
            const early = await ask("/early");
            expect([early.text, early.interim.map(({ status }) => status)]).toEqual(["after hints", [103]]);
            const trailers = await ask("/trailers");
            expect([trailers.text, trailers.trailers]).toEqual(["body", { "x-sum": "42" }]);
            const sent = await ask("/sum", { method: "POST", body: "abc", trailers: { "x-check": "1" } });
            expect(JSON.parse(sent.text)).toMatchObject({ bytes: 3, trailers: { "x-check": "1" } });
            expect(started.inFlight()).toBe(0);
          });
          test("large bodies both ways", async () => {
            await setUp();
            const hash = sevens(MEGABYTES);
            const up = await ask("/sum", { method: "POST", bytes: MEGABYTES });
            expect(JSON.parse(up.text)).toMatchObject({ bytes: MEGABYTES, hash });
            for (const path of [`/big?bytes=${MEGABYTES}`, `/big?bytes=${MEGABYTES}&length`]) {
              const down = await ask(path);
              expect([down.length, down.hash]).toEqual([MEGABYTES, hash]);
            }
            const both = await ask("/echo", { method: "POST", bytes: MEGABYTES, chunked: true });
            expect([both.length, both.hash]).toEqual([MEGABYTES, hash]);
            await until(() => started.inFlight() === 0, "nothing in flight");
          });
          test("an answer that breaks off, and a tunnel for a WebSocket", async () => {
            await setUp();
            const broken = await ask("/broken");
            expect(broken.error).toBeDefined();
            const upgrade =
              from === 1
                ? {
                    headers: {
                      connection: "Upgrade",
                      upgrade: "websocket",
                      "sec-websocket-version": "13",
                      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
                    },
                  }
                : { method: "CONNECT", headers: { ":protocol": "websocket", "sec-websocket-version": "13" } };
            const tunnel = await ask("/chat", { ...upgrade, bytes: 300_000 });
            expect([tunnel.status, tunnel.length, tunnel.hash]).toEqual([
              from === 1 ? 101 : 200,
              300_000,
              sevens(300_000),
            ]);
            if (from === 1) expect(tunnel.headers["sec-websocket-accept"]).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            await until(() => started.inFlight() === 0, "nothing in flight");
          });
        });
      }

  test("two hundred requests of one connection: few connections, equal shares", async () => {
    const endpoints = [await endpoint({ name: "one", version: 2 }), await endpoint({ name: "two", version: 2 })];
    const started = balancer({
      endpoints: endpoints.map(({ address }) => address),
      connections: { protocol: "http2" },
    });
    const origin = `http://127.0.0.1:${started.port}`;
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        fixture.client.ask({ version: 2, origin, path: "/echo", method: "POST", body: `request ${index}` }),
      ),
    );
    expect(outcomes.map(({ text }) => text)).toEqual(Array.from({ length: 200 }, (_, index) => `request ${index}`));
    const names = outcomes.map(({ headers }) => headers["x-name"]);
    expect([names.filter((name) => name === "one").length, names.filter((name) => name === "two").length]).toEqual([
      100, 100,
    ]);
    expect(started.openConnections()).toBe(1);
  });

  test("an endpoint that takes few streams: all are served all the same", async () => {
    const one = await endpoint({ name: "one", version: 2, streams: 5 });
    const started = balancer({ endpoints: [one.address], connections: { protocol: "http2" } });
    const origin = `http://127.0.0.1:${started.port}`;
    const asked = Array.from({ length: 60 }, () => fixture.client.ask({ version: 1, origin, path: "/info" }));
    expect((await Promise.all(asked)).every(({ status }) => status === 200)).toBe(true);
  });

  test("a client that leaves in the middle: the endpoint is told, and nothing stays", async () => {
    const one = await endpoint({ name: "one", version: 2 });
    const started = balancer({ endpoints: [one.address], connections: { protocol: "http2" } });
    const leaving = Array.from({ length: 10 }, (_, index) => {
      const abort = new AbortController();
      const path = index % 2 === 0 ? "/hang" : "/big?bytes=900000000";
      const asked = fetch(`http://127.0.0.1:${started.port}${path}`, { signal: abort.signal }).catch(() => {});
      return { abort, asked };
    });
    await until(() => started.inFlight() === 10, "ten in flight");
    for (const { abort } of leaving) abort.abort();
    await until(() => started.inFlight() === 0, "nothing in flight");
    await Promise.all(leaving.map(({ asked }) => asked));
    const next = await fixture.client.ask({ version: 1, origin: `http://127.0.0.1:${started.port}`, path: "/info" });
    expect(next.status).toBe(200);
  });

  test("an endpoint that does not speak HTTP/2: the next one is asked", async () => {
    const [old, modern] = [await endpoint({ name: "old", version: 1 }), await endpoint({ name: "new", version: 2 })];
    const started = balancer({ endpoints: [old.address, modern.address], connections: { protocol: "http2" } });
    const origin = `http://127.0.0.1:${started.port}`;
    for (let count = 0; count < 4; count++) {
      const outcome = await fixture.client.ask({ version: 1, origin, path: "/echo", method: "POST", body: "x" });
      expect([outcome.status, outcome.headers["x-name"]]).toEqual([200, "new"]);
    }
    started.setEligible("app", 1, false);
    const refused = await fixture.client.ask({ version: 1, origin, path: "/info" });
    expect([refused.status, refused.text]).toEqual([
      502,
      expect.stringContaining("The endpoint does not speak the protocol that is needed.") as unknown as string,
    ]);
  });

  describe("an endpoint that goes wrong, written frame by frame", () => {
    /** Answers the first request of every connection with these frames. */
    const scripted = (answer: (script: FrameScript, close: (frames?: Buffer[]) => Buffer[]) => Buffer[]): string => {
      const listening = Bun.listen<FrameScript>({
        hostname: "127.0.0.1",
        port: 0,
        socket: {
          open(socket) {
            socket.data = new FrameScript();
            socket.write(socket.data.settings());
          },
          data(socket, bytes) {
            const { data: script } = socket;
            const before = script.of(FRAME.headers).length;
            script.receive(bytes);
            if (script.of(FRAME.headers).length === before) return;
            const close = (frames: Buffer[] = []): Buffer[] => {
              setTimeout(() => socket.terminate(), 20);
              return frames;
            };
            socket.write(Buffer.concat(answer(script, close)));
          },
          error() {},
        },
      });
      stops.push(() => listening.stop(true));
      return `127.0.0.1:${listening.port}`;
    };
    const post = { method: "POST", body: "x" };
    const cases: [string, Parameters<typeof scripted>[0], object, number | string][] = [
      ["REFUSED_STREAM", (script) => [script.rst(1, 7)], post, 200],
      ["GOAWAY before the stream", (script) => [script.goaway(0)], post, 200],
      ["a reset, of a request that may be repeated", (script) => [script.rst(1, 2)], {}, 200],
      ["a reset, of one that may not", (script) => [script.rst(1, 2)], post, 502],
      ["the end of the connection", (_script, close) => close(), {}, 200],
      ["fields that are malformed", (script) => [script.headers(1, [["x", "y"]])], {}, 502],
      ["less content than promised", (script) => short(script), {}, "broken"],
      ["the end in the middle of a frame", (script, close) => close(cut(script)), {}, "broken"],
    ];
    const short = (script: FrameScript): Buffer[] => [
      script.headers(1, [
        [":status", "200"],
        ["content-length", "9"],
      ]),
      script.data(1, "short", true),
    ];
    const cut = (script: FrameScript): Buffer[] => [
      script.headers(1, [[":status", "200"]]),
      script.data(1, "cut off here").subarray(0, 12),
    ];
    for (const [name, answer, request, expected] of cases)
      test(name, async () => {
        const good = await endpoint({ name: "good", version: 2 });
        const endpoints = [scripted(answer), good.address];
        const started = balancer({ endpoints, connections: { protocol: "http2" }, balance: "first" });
        const origin = `http://127.0.0.1:${started.port}`;
        const outcome = await fixture.client.ask({ version: 1, origin, path: "/echo", ...request });
        expect(outcome.error === undefined ? outcome.status : "broken").toBe(expected);
        expect(started.inFlight()).toBe(0);
      });
  });

  if (nginx === null) console.log("skipped: nginx is not installed");
  else
    test("nginx as the endpoint, over TLS", async () => {
      const real = startNginx(["127.0.0.1"], ([port], folder) => {
        writeFileSync(join(folder, "large"), Buffer.alloc(MEGABYTES, 7));
        return `${process.getuid?.() === 0 ? "user root;" : ""} events {}
        http { access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f;
          uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s; client_max_body_size 50m;
          server { listen 127.0.0.1:${port} ssl http2; ssl_certificate ${fixture.pair.certificatePath};
            ssl_certificate_key ${fixture.pair.keyPath}; root ${folder};
            location = /told { return 200 "$server_protocol $ssl_server_name $ssl_session_reused"; } } }`;
      });
      stops.push(() => real.stop());
      const started = balancer({
        endpoints: [`127.0.0.1:${real.ports[0]}`],
        connections: { protocol: "http2", tls: { ca: fixture.authority.caPath, serverName: "app.test" } },
      });
      const origin = `http://127.0.0.1:${started.port}`;
      const told = await fixture.client.ask({ version: 1, origin, path: "/told" });
      expect(told.text).toBe("HTTP/2.0 app.test .");
      const large = await Promise.all(
        Array.from({ length: 8 }, () => fixture.client.ask({ version: 2, origin, path: "/large" })),
      );
      expect(large.map(({ status, length, hash }) => [status, length, hash])).toEqual(
        Array.from({ length: 8 }, () => [200, MEGABYTES, sevens(MEGABYTES)]),
      );
    });
}
