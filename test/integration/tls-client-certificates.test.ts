/** Mutual TLS: who must show a certificate, and what routes, headers and logs make of it; HTTP and TCP. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import type { ConfigInput } from "../../src/config/schema.ts";
import { LISTENER, POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { createAuthority, hasOpenssl, type IssuedPair } from "../support/openssl.ts";
import { startEchoEndpoint } from "../support/raw-endpoint.ts";
import { eventually, tcpEndpoint } from "../support/tcp.ts";
import { ask, bodyOf, tlsClient } from "../support/tls-client.ts";

if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  const authority = createAuthority();
  const strangers = createAuthority();
  const pairs = {
    app: authority.issue("app", "DNS:app.test,URI:spiffe://test/app"),
    other: authority.issue("other", "DNS:other.test"),
    revoked: authority.issue("revoked", "DNS:revoked.test"),
    stranger: strangers.issue("stranger", "DNS:app.test"),
  };
  const crl = join(authority.folder, "list.pem");
  writeFileSync(crl, authority.revoke(pairs.revoked));
  const log = join(authority.folder, "access.log");
  const stops: (() => unknown)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
  });
  afterAll(() => {
    authority.remove();
    strangers.remove();
  });

  function serve(config: ConfigInput): Balancer {
    const started = startBalancer(config);
    stops.push(() => started.stop());
    return started;
  }

  function tlsWith(mode: "off" | "request" | "require", withList = false) {
    const clientAuthentication = { mode, ca: authority.caPath, ...(withList && { crl }) };
    return { certificates: [{ selfSigned: { names: ["main.test"] } }], clientAuthentication };
  }

  const shows = ({ certificatePem, keyPem }: IssuedPair): ConnectionOptions => ({ cert: certificatePem, key: keyPem });

  /** The status that a client gets, or 0 when it is not let in. */
  async function status(port: number, options: ConnectionOptions): Promise<number> {
    const answer = await ask(port, options);
    return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
  }

  describe("who is let in", () => {
    const listener = (mode: "off" | "request" | "require", withList = false): ConfigInput => ({
      listeners: { web: { address: "127.0.0.1:0", tls: tlsWith(mode, withList) } },
      routes: [{ match: { clientCertificate: {} }, respond: { status: 201 } }, { respond: { status: 202 } }],
    });
    const cases = [
      ["off", false, { none: 202, app: 202, revoked: 202, stranger: 202 }],
      ["request", false, { none: 202, app: 201, revoked: 201, stranger: 202 }],
      ["request", true, { none: 202, app: 201, revoked: 202, stranger: 202 }],
      ["require", false, { none: 0, app: 201, revoked: 201, stranger: 0 }],
      ["require", true, { none: 0, app: 201, revoked: 0, stranger: 0 }],
    ] as const;
    for (const [mode, withList, expected] of cases) {
      test(`${mode}${withList ? " with a revocation list" : ""}`, async () => {
        const started = serve(listener(mode, withList));
        expect({
          none: await status(started.port, {}),
          app: await status(started.port, shows(pairs.app)),
          revoked: await status(started.port, shows(pairs.revoked)),
          stranger: await status(started.port, shows(pairs.stranger)),
        }).toEqual(expected);
        const refused = Object.values(expected).filter((code) => code === 0).length;
        const failed = (): number => started.tables.metrics.read("listener", 0, LISTENER.handshakesFailed);
        await eventually(() => failed() === refused, "failed handshakes");
        await eventually(() => started.openConnections() === 0, "nothing left");
      });
    }
  });

  test("routes by name, subject and fingerprint", async () => {
    const to = (clientCertificate: object, body: string) => ({ match: { clientCertificate }, respond: { body } });
    const fingerprint = Bun.spawnSync([
      "openssl",
      "x509",
      "-in",
      pairs.other.certificatePath,
      "-fingerprint",
      "-sha256",
      "-noout",
    ]);
    const digits = fingerprint.stdout.toString().trim().split("=").at(-1) as string;
    const { port } = serve({
      listeners: { web: { address: "127.0.0.1:0", tls: tlsWith("request") } },
      routes: [
        { ...to({ name: "*.test", subject: "CN=app,O=Example" }, "app") },
        { ...to({ fingerprint: digits }, "other"), priority: 1 },
        { ...to({ verified: false }, "nobody") },
      ],
    });
    const who = async (options: ConnectionOptions): Promise<string> => bodyOf(await ask(port, options));
    expect(await who(shows(pairs.app))).toBe("app");
    expect(await who(shows(pairs.other))).toBe("other");
    expect(await who(shows(pairs.stranger))).toBe("nobody");
    expect(await who({})).toBe("nobody");
    expect(await who(shows(pairs.revoked))).toStartWith("404");
  });

  const title = "a verified certificate is a session of %s: on any connection, and on one whose handshake was spared";
  test.each(["http", "tcp"] as const)(title, async (protocol) => {
    const names = ["a", "b", "c", "d"];
    const endpoints = names.map((name) => {
      const endpoint = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(name) });
      stops.push(() => endpoint.stop(true));
      return `127.0.0.1:${endpoint.port}`;
    });
    const started = serve({
      listeners: { web: { address: "127.0.0.1:0", protocol, pool: "app", tls: tlsWith("request") } },
      pools: { app: { endpoints, balance: "round-robin", sessions: { type: "clientCertificate" } } },
    });
    const homes = async (options: ConnectionOptions): Promise<number> => {
      const seen = new Set<string>();
      for (let round = 0; round < 2 * names.length; round++) seen.add(bodyOf(await ask(started.port, options)));
      return seen.size;
    };
    expect([await homes(shows(pairs.app)), await homes(shows(pairs.other))]).toEqual([1, 1]);
    // Whoever shows none, or one that anybody could have made, has no session.
    expect([await homes({}), await homes(shows(pairs.stranger))]).toEqual([4, 4]);
    const read = (field: number): number => started.tables.metrics.read("pool", 0, field);
    expect([read(POOL.sessionsNew), read(POOL.sessionsKept)]).toEqual([2, 14]);
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const seen = [await comeBack(started.port, version, true), await comeBack(started.port, version, false)];
      expect(seen.map(({ reused }) => reused)).toEqual([false, true]);
      expect(seen.map(({ body }) => body)).toEqual([seen[0]!.body, seen[0]!.body]);
    }
    expect([read(POOL.sessionsNew), read(POOL.sessionsKept)]).toEqual([2, 18]);
  });

  /** One request by openssl, which takes up the TLS session that the first one got. */
  async function comeBack(port: number, version: string, first: boolean): Promise<{ reused: boolean; body: string }> {
    const file = join(authority.folder, `session${version}.pem`);
    const session = first ? ["-sess_out", file] : ["-sess_in", file];
    const shown = ["-cert", pairs.app.certificatePath, "-key", pairs.app.keyPath];
    const args = [
      "s_client",
      "-connect",
      `127.0.0.1:${port}`,
      version,
      "-servername",
      "main.test",
      ...shown,
      ...session,
    ];
    const client = Bun.spawn(["openssl", ...args, "-ign_eof"], {
      stdin: new Blob(["GET / HTTP/1.1\r\nHost: main.test\r\nConnection: close\r\n\r\n"]),
      stdout: "pipe",
      stderr: "ignore",
    });
    const output = await new Response(client.stdout).text();
    // openssl puts it wherever it is in its own report.
    const body = /HTTP\/1\.1 200 [\s\S]*?\r\n\r\n([a-d])/.exec(output)?.[1];
    if (body === undefined) throw new Error(`no answer: ${output}`);
    return { reused: /^Reused, TLSv1/m.test(output), body };
  }

  test("headers tell endpoints, and what a client claims itself does not get through", async () => {
    const endpoint = startEchoEndpoint();
    stops.push(() => endpoint.stop());
    const set = {
      "X-Client-Verified": "{client.verified}",
      "X-Client-Subject": "{client.subject}",
      "X-Client-Names": "{client.names}",
      "X-Client-Fingerprint": "{client.fingerprint}",
      "X-Tls": "{tls.version} {tls.serverName}",
    };
    const { port } = serve({
      listeners: { web: { address: "127.0.0.1:0", tls: tlsWith("request") } },
      routes: [{ pool: "app", requestHeaders: { set } }],
      pools: { app: { endpoints: [endpoint.address] } },
    });
    const claimed = "X-Client-Verified: true\r\nx-client-subject: CN=admin\r\nX-CLIENT-SUBJECT: CN=root\r\n";
    const headers = async (options: ConnectionOptions): Promise<string[]> => {
      const seen = bodyOf(await ask(port, options, claimed)).split("\r\n");
      return seen.filter((line) => /^x-(client|tls)/i.test(line)).sort();
    };
    const anonymous = await headers({});
    expect(anonymous.map((line) => line.trimEnd())).toEqual([
      "X-Client-Fingerprint:",
      "X-Client-Names:",
      "X-Client-Subject:",
      "X-Client-Verified: false",
      "X-Tls: TLSv1.3 main.test",
    ]);
    const app = await headers(shows(pairs.app));
    expect(app[0]).toMatch(/^X-Client-Fingerprint: [0-9a-f]{64}$/);
    expect(app.slice(1, 4)).toEqual([
      "X-Client-Names: DNS:app.test,URI:spiffe://test/app",
      "X-Client-Subject: CN=app,O=Example",
      "X-Client-Verified: true",
    ]);
    expect((await headers(shows(pairs.stranger))).slice(1, 4).map((line) => line.trimEnd())).toEqual(
      anonymous.slice(1, 4).map((line) => line.trimEnd()),
    );
  });

  test("the access log", async () => {
    writeFileSync(log, "");
    const started = serve({
      accessLog: { path: log },
      listeners: { web: { address: "127.0.0.1:0", tls: tlsWith("request") } },
      routes: [{ respond: {} }],
    });
    await ask(started.port, shows(pairs.app));
    await ask(started.port, { servername: "" });
    await started.stop();
    const [first, second] = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)) as object[];
    expect(first).toMatchObject({ tlsVersion: "TLSv1.3", serverName: "main.test", clientSubject: "CN=app,O=Example" });
    expect(second).toMatchObject({ tlsVersion: "TLSv1.3" });
    expect(Object.keys(second as object)).not.toContain("serverName");
    expect(Object.keys(second as object)).not.toContain("clientSubject");
  });

  test("TCP: connections are routed by who comes", async () => {
    const greeting = async (text: string): Promise<string> => {
      const endpoint = await tcpEndpoint((socket) => socket.end(text));
      stops.push(endpoint.stop);
      return endpoint.address;
    };
    const started = serve({
      listeners: { db: { address: "127.0.0.1:0", protocol: "tcp", tls: tlsWith("request"), pool: "guests" } },
      routes: [{ listeners: ["db"], match: { clientCertificate: { name: "app.test" } }, pool: "members" }],
      pools: {
        members: { endpoints: [await greeting("member")] },
        guests: { endpoints: [await greeting("guest")] },
      },
    });
    for (const [options, expected] of [
      [shows(pairs.app), "member"],
      [shows(pairs.other), "guest"],
      [shows(pairs.stranger), "guest"],
      [{}, "guest"],
    ] as const) {
      const client = await tlsClient(started.port, options);
      await client.until(() => false);
      expect(client.text()).toBe(expected);
      client.destroy();
    }
  });
}
