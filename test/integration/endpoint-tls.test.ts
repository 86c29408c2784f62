/** TLS towards endpoints: who is trusted, what is shown, and what happens when it does not work out. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createSelfSigned } from "../../src/tls/self-signed.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import {
  HttpClient,
  type HttpEndpoint,
  type HttpEndpointOptions,
  type HttpOutcome,
  node,
  startHttpEndpoint,
} from "../support/http-peers.ts";
import { createAuthority, hasOpenssl, type IssuedPair, type TestAuthority } from "../support/openssl.ts";
import { writePair } from "../support/tls-peers.ts";

if (node === null) console.log("skipped: node is not installed");
else if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  let authority: TestAuthority;
  let pair: IssuedPair;
  let client: HttpClient;
  const stops: (() => unknown)[] = [];

  beforeAll(() => {
    authority = createAuthority();
    pair = authority.issue("app", "DNS:app.test,IP:127.0.0.1");
    client = new HttpClient();
  });
  afterAll(async () => {
    await client.stop();
    authority.remove();
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  const files = (issued: IssuedPair) => ({ key: issued.keyPath, certificate: issued.certificatePath });
  const endpoint = async (options: HttpEndpointOptions): Promise<HttpEndpoint> => {
    const started = await startHttpEndpoint(options);
    stops.push(() => started.kill());
    return started;
  };
  const balancer = (pool: object, options: { tls?: boolean; listener?: object } = {}): Balancer => {
    const tls = { certificates: [{ certificate: pair.certificatePath, key: pair.keyPath }] };
    const started = startBalancer({
      listeners: { web: { address: ":80", pool: "app", ...(options.tls === true && { tls }), ...options.listener } },
      pools: { app: { balance: "round-robin", ...pool } },
    } as never);
    stops.push(() => started.stop());
    return started;
  };
  const until = async (check: () => boolean, what: string): Promise<void> => {
    for (let look = 0; look < 400; look++) {
      if (check()) return;
      await Bun.sleep(25);
    }
    throw new Error(`never happened: ${what}`);
  };

  describe("TLS with endpoints", () => {
    const ask = (started: Balancer, more: object = {}): Promise<HttpOutcome> =>
      client.ask({ version: 1, origin: `http://127.0.0.1:${started.port}`, path: "/info", ...more });

    for (const version of [1, 2] as const) {
      test(`one that cannot be verified is not used, HTTP/${version}: 502, or another one`, async () => {
        const stranger = createAuthority();
        stops.push(() => stranger.remove());
        const bad: Record<string, IssuedPair> = {
          "unknown authority": stranger.issue("stranger", "DNS:app.test"),
          "another name": authority.issue("other", "DNS:other.test"),
          expired: writePair(createSelfSigned(["app.test"], Date.UTC(2010, 0, 1)), authority.folder),
        };
        const trusted = [authority.caPath, (bad["expired"] as IssuedPair).certificatePath];
        const good = await endpoint({ name: "good", version, ...files(pair) });
        for (const [why, issued] of Object.entries(bad)) {
          const wrong = await endpoint({ name: why, version, ...files(issued) });
          const connections = { protocol: `http${version}`, tls: { ca: trusted, serverName: "app.test" } };
          const alone = balancer({ endpoints: [wrong.address], connections });
          const refused = await ask(alone);
          expect([why, refused.status, refused.text]).toEqual([
            why,
            502,
            expect.stringContaining("The TLS handshake with the endpoint failed.") as unknown as string,
          ]);
          const both = balancer({ endpoints: [wrong.address, good.address], connections });
          for (let count = 0; count < 4; count++) {
            const outcome = await ask(both, { path: "/echo", method: "POST", body: "x" });
            expect([outcome.status, outcome.headers["x-name"]]).toEqual([200, "good"]);
          }
          const trusting = balancer({
            endpoints: [wrong.address],
            connections: { protocol: `http${version}`, tls: { verify: false, serverName: "app.test" } },
          });
          expect((await ask(trusting)).status).toBe(200);
        }
      });

      test(`a handshake that is cut off or hangs, HTTP/${version}: the next one is asked, and no socket stays`, async () => {
        const good = await endpoint({ name: "good", version, ...files(pair) });
        let open = 0;
        const cut = Bun.listen({
          hostname: "127.0.0.1",
          port: 0,
          socket: { data: (socket) => socket.terminate(), open: () => void open++, close: () => void open-- },
        });
        const hanging = Bun.listen({
          hostname: "127.0.0.1",
          port: 0,
          socket: { data() {}, open: () => void open++, close: () => void open-- },
        });
        for (const listening of [cut, hanging]) stops.push(() => listening.stop(true));
        for (const wrong of [cut, hanging]) {
          const started = balancer({
            endpoints: [`127.0.0.1:${wrong.port}`, good.address],
            connections: {
              protocol: `http${version}`,
              tls: { ca: authority.caPath, serverName: "app.test" },
              connectTimeout: "300ms",
            },
          });
          for (let count = 0; count < 2; count++) {
            const outcome = await ask(started, { path: "/echo", method: "POST", body: "x" });
            expect([outcome.status, outcome.headers["x-name"]]).toEqual([200, "good"]);
          }
          await until(() => open === 0, "no socket");
        }
      });
    }

    test("our own certificate is shown, and sessions are used again", async () => {
      const mine = authority.issue("balancer", "DNS:balancer.test");
      const strict = await endpoint({ name: "strict", version: 1, ...files(pair), ca: authority.caPath });
      const tls = { ca: authority.caPath, serverName: "app.test" };
      const without = balancer({ endpoints: [strict.address], connections: { tls } });
      expect((await ask(without)).status).toBe(502);
      const shown = { ...tls, certificate: mine.certificatePath, key: mine.keyPath };
      const started = balancer({ endpoints: [strict.address], connections: { tls: shown, maxIdle: 0 } });
      const seen: { client: string; reused: boolean }[] = [];
      for (let count = 0; count < 4; count++) seen.push(JSON.parse((await ask(started)).text));
      expect(seen.map(({ client: name }) => name)).toEqual(["balancer", "balancer", "balancer", "balancer"]);
      expect(seen.slice(1).every(({ reused }) => reused)).toBe(true);
    });

    test("TCP listeners to endpoints with TLS", async () => {
      const one = await endpoint({ name: "one", version: 1, ...files(pair) });
      const started = balancer(
        { endpoints: [one.address], connections: { tls: { ca: authority.caPath, serverName: "app.test" } } },
        { listener: { protocol: "tcp" } },
      );
      const outcome = await ask(started);
      expect(JSON.parse(outcome.text)).toMatchObject({ name: "one", serverName: "app.test" });
      const wrong = balancer(
        { endpoints: [one.address], connections: { tls: { ca: authority.caPath, serverName: "other.test" } } },
        { listener: { protocol: "tcp" } },
      );
      expect((await ask(wrong)).error).toBeDefined();
      expect(wrong.inFlight()).toBe(0);
    });
  });
}
