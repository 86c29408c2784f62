/** What the runtime does with TLS on its sockets, as far as we rely on it: fails when a new version drops any of it. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { type Certificate, loadCertificate } from "../../src/tls/certificate.ts";
import type { ClientCertificate } from "../../src/tls/client-certificate.ts";
import { ClientSessions } from "../../src/tls/client-sessions.ts";
import type { ClientTlsSettings, ServerTlsSettings } from "../../src/tls/secure-context.ts";
import { createSelfSigned } from "../../src/tls/self-signed.ts";
import { createAuthority, hasOpenssl, type IssuedPair } from "../support/openssl.ts";
import {
  connect,
  dial,
  newSelector,
  type ServerOptions,
  shown,
  startServer,
  type TestSocket,
  type TlsServer,
  writePair,
} from "../support/tls-peers.ts";

if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  describe("TLS on the runtime's sockets", () => {
    const authority = createAuthority();
    const pairs = {
      main: authority.issue("main", "DNS:main.test"),
      ecdsa: authority.issue("ecdsa", "DNS:both.test"),
      rsa: authority.issue("rsa", "DNS:both.test", "rsa"),
      wild: authority.issue("wild", "DNS:*.wild.test"),
      ip: authority.issue("ip", "IP:127.0.0.1"),
      client: authority.issue("client", "DNS:client.test,URI:spiffe://test/app"),
      revoked: authority.issue("revoked", "DNS:revoked.test"),
    };
    const stranger = writePair(createSelfSigned(["stranger.test"], Date.now()), authority.folder);
    const crlPem = authority.revoke(pairs.revoked);
    const load = (pair: IssuedPair): Certificate =>
      loadCertificate({ ...pair, certificateFrom: pair.certificatePath, keyFrom: pair.keyPath });
    const certificates = [pairs.main, pairs.rsa, pairs.ecdsa, pairs.wild].map(load);
    const servers: TlsServer[] = [];

    afterEach(() => {
      for (const server of servers.splice(0)) server.stop();
    });
    afterAll(() => authority.remove());

    function serve(options: ServerOptions = {}): TlsServer {
      const server = startServer(certificates, options);
      servers.push(server);
      return server;
    }

    for (const upgrade of [false, true]) {
      describe(upgrade ? "begun on an accepted socket" : "from the listener", () => {
        test("certificates by name: exact, wildcard, default, and by what the client can take", async () => {
          const { port, handshakes } = serve({ upgrade });
          const ask = async (...args: readonly string[]): Promise<string> => (await connect(port, args)).subject;
          expect(await ask("-servername", "main.test")).toBe("main");
          expect(await ask("-servername", "a.wild.test")).toBe("wild");
          expect(await ask("-servername", "A.Wild.TEST")).toBe("wild");
          expect(await ask("-servername", "a.b.wild.test")).toBe("main");
          expect(await ask("-servername", "wild.test")).toBe("main");
          expect(await ask("-servername", "unknown.test")).toBe("main");
          expect(await ask("-noservername")).toBe("main");
          expect(await ask("-servername", "both.test")).toBe("ecdsa");
          expect(await ask("-servername", "both.test", "-sigalgs", "RSA-PSS+SHA256:ECDSA+SHA256")).toBe("ecdsa");
          expect(await ask("-servername", "both.test", "-sigalgs", "RSA-PSS+SHA256")).toBe("rsa");
          expect(await ask("-servername", "both.test", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")).toBe(
            "rsa",
          );
          expect(handshakes.map(({ serverName }) => serverName).slice(0, 2)).toEqual(["main.test", "a.wild.test"]);
        });

        test("strict SNI refuses unknown names with the right alert, and no name at all", async () => {
          const { port } = serve({ strictSni: true, upgrade });
          expect((await connect(port, ["-servername", "both.test"])).subject).toBe("ecdsa");
          for (const version of ["-tls1_2", "-tls1_3"]) {
            expect((await connect(port, ["-servername", "unknown.test", version])).alert).toBe(112);
            expect((await connect(port, ["-noservername", version])).alert).toBeGreaterThan(0);
          }
        });

        test("protocols: the server's preference, none, and no common one", async () => {
          const { port, handshakes } = serve({ upgrade });
          expect((await connect(port, ["-servername", "both.test", "-alpn", "http/1.1,h2"])).protocol).toBe("h2");
          expect((await connect(port, ["-servername", "both.test"])).protocol).toBe("");
          expect((await connect(port, ["-servername", "both.test", "-alpn", "smtp"])).alert).toBe(120);
          expect(handshakes.map(({ protocol }) => protocol).slice(0, 2)).toEqual(["h2", false]);
        });

        test("client certificates that may be shown", async () => {
          const { port, handshakes } = serve({ upgrade, settings: authentication("request", true) });
          const who = async (args: readonly string[]): Promise<ClientCertificate | undefined> => {
            await connect(port, ["-servername", "both.test", ...args]);
            return handshakes.at(-1)?.client;
          };
          expect(await who([])).toBeUndefined();
          expect(await who(shown(pairs.client))).toEqual({
            verified: true,
            failure: "",
            subject: "CN=client,O=Example",
            alternativeNames: [
              { kind: "DNS", value: "client.test" },
              { kind: "URI", value: "spiffe://test/app" },
            ],
            fingerprint256: load(pairs.client).fingerprint256,
            serialNumber: load(pairs.client).serialNumber,
          });
          expect(await who(shown(pairs.revoked))).toMatchObject({ verified: false, failure: "CERT_REVOKED" });
          expect(await who(shown(stranger))).toMatchObject({
            verified: false,
            failure: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
          });
        });

        test("client certificates that must be shown", async () => {
          const server = serve({ upgrade, settings: authentication("require", false) });
          const { port, handshakes } = server;
          for (const name of ["main.test", "both.test"]) {
            expect((await connect(port, ["-servername", name, "-tls1_3"])).alert).toBe(116);
            expect((await connect(port, ["-servername", name, "-tls1_2"])).alert).toBe(40);
            expect((await connect(port, ["-servername", name, ...shown(stranger)])).answered).toBe(false);
            expect(handshakes.at(-1)?.client).toMatchObject({
              verified: false,
              failure: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
            });
          }
          expect(server.received).toBe(0);
          expect((await connect(port, ["-servername", "both.test", ...shown(pairs.client)])).answered).toBe(true);
          expect(server.received).toBe(1);
          const settings = { verify: true, caPem: authority.caPem, serverName: "both.test", protocols: [] };
          const refused = await dial(port, { ...settings, certificate: load(stranger) });
          expect(await refused.ask()).toBe("closed");
          const taken = await dial(port, { ...settings, certificate: load(pairs.client) });
          expect(await taken.ask()).toBe("ok\n");
          taken.close();
          expect(server.received).toBe(2);
        });
      });
    }

    function authentication(mode: "request" | "require", withList: boolean): Partial<ServerTlsSettings> {
      const lists = withList ? { crlPem } : {};
      return { clientAuthentication: { mode, caPem: authority.caPem, ...lists } };
    }

    test("versions and ciphers, whatever the certificate", async () => {
      const { port } = serve();
      for (const name of ["main.test", "both.test"]) {
        const ask = (...args: readonly string[]) => connect(port, ["-servername", name, ...args]);
        expect((await ask("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")).alert).toBe(70);
        expect((await ask("-tls1_2")).version).toBe("TLSv1.2");
        expect((await ask("-tls1_3")).version).toBe("TLSv1.3");
        expect((await ask("-tls1_3", "-groups", "P-384")).version).toBe("TLSv1.3");
        expect((await ask("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-SHA")).alert).toBe(
          40,
        );
      }
      const modern = serve({ settings: { minVersion: "1.3" } });
      expect((await connect(modern.port, ["-servername", "both.test", "-tls1_2"])).alert).toBe(70);
      expect((await connect(modern.port, ["-servername", "both.test"])).version).toBe("TLSv1.3");
      const older = serve({ settings: { maxVersion: "1.2" } });
      expect((await connect(older.port, ["-servername", "both.test"])).version).toBe("TLSv1.2");
      const narrow = serve({ settings: { ciphers: ["ECDHE-ECDSA-AES256-GCM-SHA384"] } });
      const weaker = ["-servername", "both.test", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"];
      expect((await connect(narrow.port, weaker)).alert).toBe(40);
    });

    test("sessions are resumed, also after a reload that left the certificate as it was", async () => {
      const server = serve();
      const file = `${authority.folder}/session.pem`;
      for (const version of ["-tls1_3", "-tls1_2"]) {
        const common = ["-servername", "both.test", version];
        expect((await connect(server.port, [...common, "-sess_out", file])).reused).toBe(false);
        expect((await connect(server.port, [...common, "-sess_in", file])).reused).toBe(true);
        server.selector = newSelector(certificates.slice(0, 3), {}, server.selector);
        expect((await connect(server.port, [...common, "-sess_in", file])).reused).toBe(true);
        server.selector = newSelector([load(pairs.main), load(pairs.rsa)], {});
        expect(await connect(server.port, [...common, "-sess_in", file])).toMatchObject({
          reused: false,
          subject: "rsa",
        });
        server.selector = newSelector(certificates, {});
      }
      const without = serve({ settings: { sessionTickets: false } });
      const common = ["-servername", "both.test", "-sess_out", file];
      await connect(without.port, common);
      expect((await connect(without.port, ["-servername", "both.test", "-sess_in", file])).reused).toBe(false);
    });

    test("the runtime does not share ticket keys: the day this fails, workers can", async () => {
      const ticketKeys = Buffer.alloc(48, 7);
      const { certificatePem: cert, keyPem: key } = pairs.main;
      const socket = { data: (connection: TestSocket) => void connection.write("ok\n"), error() {} };
      const listeners = [0, 1].map(() =>
        Bun.listen({ hostname: "127.0.0.1", port: 0, tls: { cert, key, ticketKeys }, socket } as never),
      ) as { port: number; stop(force: boolean): void }[];
      const file = `${authority.folder}/shared.pem`;
      const [one, other] = listeners.map(({ port }) => port) as [number, number];
      await connect(one, ["-tls1_3", "-sess_out", file]);
      expect((await connect(one, ["-tls1_3", "-sess_in", file])).reused).toBe(true);
      expect((await connect(other, ["-tls1_3", "-sess_in", file])).reused).toBe(false);
      for (const listener of listeners) listener.stop(true);
    });

    test("a new certificate counts for the next handshake; open connections live on", async () => {
      const server = serve();
      const settings = { verify: true, caPem: authority.caPem, serverName: "both.test", protocols: [] };
      const open = await dial(server.port, settings);
      expect(await open.ask()).toBe("ok\n");
      server.selector = newSelector([load(pairs.main), load(pairs.rsa)], {});
      expect((await connect(server.port, ["-servername", "both.test"])).subject).toBe("rsa");
      expect(await open.ask()).toBe("ok\n");
      open.close();
    });

    test("endpoints are verified: authority, name, address", async () => {
      const { port } = serve();
      const common = { verify: true, caPem: authority.caPem, protocols: ["http/1.1"] };
      const outcome = async (settings: ClientTlsSettings, at = port): Promise<string> => {
        const connection = await dial(at, settings);
        connection.close();
        return connection.failure;
      };
      expect(await outcome({ ...common, serverName: "both.test" })).toBe("");
      expect(await outcome({ ...common, serverName: "a.wild.test" })).toBe("");
      expect(await outcome({ ...common, serverName: "other.test" })).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
      expect(await outcome(common)).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
      expect(await outcome({ ...common, caPem: undefined, serverName: "both.test" })).toBe(
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      );
      expect(await outcome({ verify: false, serverName: "other.test", protocols: [] })).toBe("");
      const strict = serve({ strictSni: true });
      const gone = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: { open: (socket) => void socket.end(), data() {} },
      });
      for (const verify of [true, false]) {
        const unknown = { verify, serverName: "other.test", protocols: [] };
        expect(await outcome(unknown, strict.port)).toBe("EPROTO");
        expect(await outcome(unknown, gone.port)).toBe("ECONNRESET");
      }
      gone.stop(true);
      const byAddress = startServer([load(pairs.ip)], { strictSni: false });
      servers.push(byAddress);
      const connection = await dial(byAddress.port, common);
      expect(await connection.ask()).toBe("ok\n");
      connection.close();
      expect(byAddress.handshakes.at(-1)).toMatchObject({ serverName: undefined, protocol: "http/1.1" });
    });

    test("endpoints get our certificate when they ask, and sessions are used again", async () => {
      const server = serve({ settings: authentication("require", false) });
      const settings = {
        verify: true,
        caPem: authority.caPem,
        certificate: load(pairs.client),
        serverName: "both.test",
        protocols: ["h2"],
      };
      const sessions = new ClientSessions();
      for (const reused of [false, true, true]) {
        const connection = await dial(server.port, settings, sessions);
        expect(await connection.ask()).toBe("ok\n");
        expect(server.handshakes.at(-1)).toMatchObject({ reused, protocol: "h2", client: { verified: true } });
        connection.close();
      }
    });
  });
}
