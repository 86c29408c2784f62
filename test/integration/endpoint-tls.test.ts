/** TLS towards endpoints: who is trusted, what is shown, and what happens when it does not work out. */
import { describe, expect, test } from "bun:test";
import { createSelfSigned } from "../../src/tls/self-signed.ts";
import type { Balancer } from "../support/balancer.ts";
import { filesOf, HttpFixture, until } from "../support/http-fixture.ts";
import { type HttpEndpointOptions, type HttpOutcome, node } from "../support/http-peers.ts";
import { createAuthority, hasOpenssl, type IssuedPair } from "../support/openssl.ts";
import { writePair } from "../support/tls-peers.ts";

if (node === null) console.log("skipped: node is not installed");
else if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  const fixture = new HttpFixture();
  const { stops } = fixture;
  const endpoint = (options: HttpEndpointOptions) => fixture.endpoint(options);
  const balancer = (...parameters: Parameters<HttpFixture["balancer"]>) => fixture.balancer(...parameters);

  describe("TLS with endpoints", () => {
    const ask = (started: Balancer, more: object = {}): Promise<HttpOutcome> =>
      fixture.client.ask({ version: 1, origin: `http://127.0.0.1:${started.port}`, path: "/info", ...more });

    for (const version of [1, 2] as const) {
      test(`one that cannot be verified is not used, HTTP/${version}: 502, or another one`, async () => {
        const stranger = createAuthority();
        stops.push(() => stranger.remove());
        const bad: Record<string, IssuedPair> = {
          "unknown authority": stranger.issue("stranger", "DNS:app.test"),
          "another name": fixture.authority.issue("other", "DNS:other.test"),
          expired: writePair(createSelfSigned(["app.test"], Date.UTC(2010, 0, 1)), fixture.authority.folder),
        };
        const trusted = [fixture.authority.caPath, (bad["expired"] as IssuedPair).certificatePath];
        const good = await endpoint({ name: "good", version, ...filesOf(fixture.pair) });
        for (const [why, issued] of Object.entries(bad)) {
          const wrong = await endpoint({ name: why, version, ...filesOf(issued) });
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
        const good = await endpoint({ name: "good", version, ...filesOf(fixture.pair) });
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
              tls: { ca: fixture.authority.caPath, serverName: "app.test" },
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
      const mine = fixture.authority.issue("balancer", "DNS:balancer.test");
      const strict = await endpoint({
        name: "strict",
        version: 1,
        ...filesOf(fixture.pair),
        ca: fixture.authority.caPath,
      });
      const tls = { ca: fixture.authority.caPath, serverName: "app.test" };
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
      const one = await endpoint({ name: "one", version: 1, ...filesOf(fixture.pair) });
      const started = balancer(
        { endpoints: [one.address], connections: { tls: { ca: fixture.authority.caPath, serverName: "app.test" } } },
        { listener: { protocol: "tcp" } },
      );
      const outcome = await ask(started);
      expect(JSON.parse(outcome.text)).toMatchObject({ name: "one", serverName: "app.test" });
      const wrong = balancer(
        { endpoints: [one.address], connections: { tls: { ca: fixture.authority.caPath, serverName: "other.test" } } },
        { listener: { protocol: "tcp" } },
      );
      expect((await ask(wrong)).error).toBeDefined();
      expect(wrong.inFlight()).toBe(0);
    });
  });
}
