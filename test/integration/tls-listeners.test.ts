/** Listeners that speak TLS, in this process, with openssl and node:tls as clients. */
import { afterAll, afterEach, describe, expect, spyOn, test } from "bun:test";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DataPath } from "../../src/app/data-path.ts";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { LISTENER } from "../../src/observability/metrics-table.ts";
import { connectionHandlers } from "../../src/transport/connection.ts";
import { duplicateDescriptor, openListeningSocket, portOf } from "../../src/transport/listening-socket.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { createAuthority, hasOpenssl } from "../support/openssl.ts";
import { sendRaw } from "../support/raw-client.ts";
import { eventually, tcpClient } from "../support/tcp.ts";
import { ask, bodyOf, tlsClient } from "../support/tls-client.ts";
import { connect } from "../support/tls-peers.ts";

type TlsInput = NonNullable<Extract<ConfigInput["listeners"][string], { tls?: unknown }>["tls"]>;

if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  const authority = createAuthority();
  authority.issue("main", "DNS:main.test");
  authority.issue("other", "DNS:other.test");
  authority.issue("wild", "DNS:*.wild.test", "rsa");
  const stops: (() => unknown)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
  });
  afterAll(() => authority.remove());

  const files = (name: string) => ({
    certificate: join(authority.folder, `${name}.pem`),
    key: join(authority.folder, `${name}.key`),
  });
  const certificates = ["main", "other", "wild"].map(files);

  function configOf(tls: Partial<TlsInput> = {}, more: object = {}): ConfigInput {
    const web = { address: "127.0.0.1:0", tls: { certificates, ...tls }, ...more };
    return { listeners: { web }, routes: [{ respond: { body: "secure" } }] } as ConfigInput;
  }

  function serve(config: ConfigInput, clock?: FakeClock): Balancer {
    const started = startBalancer(config, clock === undefined ? {} : { clock, timers: clock });
    stops.push(() => started.stop());
    return started;
  }

  const count = ({ tables }: Balancer, field: number): number => tables.metrics.read("listener", 0, field);

  describe("a listener that was prepared and does not serve yet", () => {
    const prepareSecure = (descriptor: number): Balancer => {
      const web = { address: "127.0.0.1:0" };
      const started = serve({ listeners: { web }, routes: [] });
      const { listeners, ...rest } = configOf();
      const secure = { ...listeners["web"], address: `127.0.0.1:${portOf(descriptor)}` };
      started.prepare({ listeners: { web, secure }, ...rest } as ConfigInput, { secure: descriptor });
      return started;
    };

    // The first request comes along with the end of the handshake.
    test("answers nobody before, and with all that is new then", async () => {
      const descriptor = openListeningSocket("127.0.0.1", 0);
      const port = portOf(descriptor);
      const { dataPath } = prepareSecure(descriptor);
      const answers = Array.from({ length: 4 }, () => ask(port));
      expect(await Promise.race([...answers, Bun.sleep(300).then(() => "nothing")])).toBe("nothing");
      dataPath.commit();
      for (const answer of answers) expect(bodyOf(await answer)).toBe("secure");
    });

    test.each([
      ["never serves", (dataPath: DataPath) => dataPath.abort()],
      [
        "is handed over before it does",
        (dataPath: DataPath) => {
          dataPath.drain(true);
          dataPath.commit();
        },
      ],
    ])("leaves who waits to whoever else has the socket when it %s", async (_when, end) => {
      const descriptor = openListeningSocket("127.0.0.1", 0);
      const copy = duplicateDescriptor(descriptor);
      const { dataPath } = prepareSecure(descriptor);
      const client = await tcpClient(portOf(copy));
      await Bun.sleep(100);
      end(dataPath);
      await Bun.sleep(100);
      const accepted = new Promise<string>((resolve) => {
        const socket = { open: () => resolve("accepted"), data: () => {} };
        const other = Bun.listen({ fd: copy, socket } as never);
        stops.push(() => other.stop(true));
      });
      expect(await accepted).toBe("accepted");
      client.socket.destroy();
    });

    test("passes over who has reset the connection while it waited", async () => {
      const errors = spyOn(connectionHandlers, "error");
      const descriptor = openListeningSocket("127.0.0.1", 0);
      const port = portOf(descriptor);
      const { dataPath } = prepareSecure(descriptor);
      for (let count = 0; count < 10; count++) (await tcpClient(port)).socket.resetAndDestroy();
      dataPath.commit();
      expect(bodyOf(await ask(port))).toBe("secure");
      expect(dataPath.openConnections()).toBe(0);
      expect(errors).toHaveBeenCalledTimes(0);
      errors.mockRestore();
    });
  });

  describe("certificates", () => {
    test("by the name that is asked for; others and none get the first", async () => {
      const { port } = serve(configOf());
      const subject = async (...args: string[]): Promise<string> => (await connect(port, args)).subject;
      expect(await subject("-servername", "other.test")).toBe("other");
      expect(await subject("-servername", "a.wild.test")).toBe("wild");
      expect(await subject("-servername", "unknown.test")).toBe("main");
      expect(await subject("-noservername")).toBe("main");
    });

    test("strict: an alert for names that nobody has", async () => {
      const started = serve(configOf({ strictSni: true }));
      expect((await connect(started.port, ["-servername", "other.test"])).subject).toBe("other");
      expect((await connect(started.port, ["-servername", "unknown.test"])).alert).toBe(112);
      expect((await connect(started.port, ["-noservername"])).alert).toBeGreaterThan(0);
      await eventually(() => count(started, LISTENER.handshakesFailed) === 2, "two failed handshakes");
      expect(count(started, LISTENER.handshakes)).toBe(1);
    });

    test("changed files count from the next handshake on; open connections live on", async () => {
      const changing = files("changing");
      const put = (name: string): void => {
        copyFileSync(files(name).certificate, changing.certificate);
        copyFileSync(files(name).key, changing.key);
      };
      put("main");
      const config = configOf({ certificates: [changing, files("wild")] });
      const started = serve(config);
      const open = await tlsClient(started.port);
      expect(open.certificateNames()).toBe("DNS:main.test");
      put("other");
      started.reload(config);
      for (const servername of ["main.test", "other.test", ""]) {
        const client = await tlsClient(started.port, { servername });
        expect(client.certificateNames()).toBe("DNS:other.test");
        client.destroy();
      }
      open.write("GET / HTTP/1.1\r\nHost: main.test\r\nConnection: close\r\n\r\n");
      await open.until(() => open.text().endsWith("secure"));
      expect(bodyOf(open.text())).toBe("secure");

      // A half written pair changes nothing.
      writeFileSync(changing.key, readFileSync(files("main").key));
      started.reload(config);
      const client = await tlsClient(started.port);
      expect(client.certificateNames()).toBe("DNS:other.test");
      client.destroy();
    });

    test("sessions are taken up again, and counted", async () => {
      const started = serve(configOf());
      const file = join(authority.folder, "session.pem");
      const args = ["-servername", "main.test", "-tls1_2"];
      await connect(started.port, [...args, "-sess_out", file]);
      expect((await connect(started.port, [...args, "-sess_in", file])).reused).toBe(true);
      started.reload(configOf({}, { maxConnections: 100 }));
      expect((await connect(started.port, [...args, "-sess_in", file])).reused).toBe(true);
      expect([count(started, LISTENER.handshakes), count(started, LISTENER.handshakesResumed)]).toEqual([3, 2]);
    });
  });

  describe("what is spoken", () => {
    test("TLS 1.2 and 1.3, nothing older; HTTP/2 where it is wanted", async () => {
      const { port } = serve(configOf());
      expect((await connect(port, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])).alert).toBe(70);
      expect((await connect(port, ["-tls1_2"])).version).toBe("TLSv1.2");
      expect((await connect(port, ["-tls1_3"])).version).toBe("TLSv1.3");
      expect((await connect(port, ["-alpn", "h2,http/1.1"])).protocol).toBe("h2");
      const plain = serve(configOf({}, { http2: false }));
      expect((await connect(plain.port, ["-alpn", "h2,http/1.1"])).protocol).toBe("http/1.1");
    });

    test("plain HTTP gets a clear 400", async () => {
      const started = serve(configOf());
      for (const request of ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.0\r\n\r\n"]) {
        const { text, closed } = await sendRaw(started.port, request);
        expect(text).toStartWith("HTTP/1.1 400 Bad Request\r\n");
        expect(text).toContain("use https://");
        expect(closed).toBe(true);
      }
      await eventually(() => started.openConnections() === 0, "nothing left");
    });

    test("Strict-Transport-Security with every answer, and the scheme is https", async () => {
      const started = serve(configOf({ hsts: { maxAge: "1d", includeSubDomains: true } }));
      const answer = await ask(started.port);
      expect(answer).toContain("\r\nStrict-Transport-Security: max-age=86400; includeSubDomains\r\n");
      expect(await ask(serve(configOf()).port)).not.toContain("Strict-Transport");
    });

    test("from HTTP to HTTPS by a redirect", async () => {
      const { port } = serve({
        listeners: { plain: { address: "127.0.0.1:0" } },
        routes: [{ redirect: { to: "https://{host}{path}{query}" } }],
      });
      const { text } = await sendRaw(port, "GET /a?b=c HTTP/1.1\r\nHost: main.test\r\nConnection: close\r\n\r\n");
      expect(text).toStartWith("HTTP/1.1 308 ");
      expect(text).toContain("\r\nLocation: https://main.test/a?b=c\r\n");
    });
  });

  describe("clients that do not behave", () => {
    test("a handshake that does not come to its end", async () => {
      const clock = new FakeClock();
      const started = serve(configOf({ handshakeTimeout: "2s" }), clock);
      const silent = await tcpClient(started.port);
      const slow = await tcpClient(started.port);
      slow.socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
      await Bun.sleep(50);
      clock.advance(1_800);
      expect([silent.ended(), slow.ended()]).toEqual(["", ""]);
      clock.advance(400);
      await Promise.all([silent.closed, slow.closed]);
      expect(count(started, LISTENER.handshakesFailed)).toBe(2);
    });

    test("garbage, half a hello, and going away early leave nothing behind", async () => {
      const started = serve(configOf());
      await ask(started.port);
      const before = openDescriptors();
      const hello = Buffer.from("16030100850100008103", "hex");
      const pieces = ["\0\0\0\0", "\x80\x2e\x01\x03\x01", "\x15\x03\x01\x00\x02\x02\x28", "SSH-2.0-x\r\n", hello];
      for (const piece of pieces) {
        await sendRaw(started.port, piece, { endAfter: true, timeoutMs: 2_000 });
        const client = await tcpClient(started.port);
        client.socket.write(piece);
        await Bun.sleep(5);
        client.socket.resetAndDestroy();
        await client.closed;
      }
      const failed = 2 * pieces.length;
      await eventually(() => count(started, LISTENER.handshakesFailed) === failed, "every handshake has ended");
      await eventually(() => openDescriptors() <= before, "all descriptors are given back");
      expect([started.openConnections(), count(started, LISTENER.open)]).toEqual([0, 0]);
    });

    test("limits hold for connections that have shown who they are", async () => {
      const started = serve(configOf({}, { maxConnections: 2 }));
      const first = await tlsClient(started.port);
      const second = await tlsClient(started.port);
      const third = await tlsClient(started.port);
      await third.until(() => false);
      expect(third.text()).toStartWith("HTTP/1.1 503");
      first.destroy();
      await eventually(() => started.openConnections() === 1, "a place is free");
      expect(bodyOf(await ask(started.port))).toBe("secure");
      second.destroy();
    });

    test("draining: the request under way is answered, idle ones are closed", async () => {
      const clock = new FakeClock();
      const started = serve(configOf(), clock);
      const idle = await tlsClient(started.port);
      const busy = await tlsClient(started.port);
      busy.write("GET / HTTP/1.1\r\nHost: ");
      await Bun.sleep(30);
      started.dataPath.drain(false);
      busy.write("main.test\r\n\r\n");
      await busy.until(() => busy.text().endsWith("secure"));
      expect(busy.text()).toContain("\r\nConnection: close\r\n");
      clock.advance(2_000);
      await idle.until(() => false);
      busy.destroy();
      await eventually(() => started.openConnections() === 0, "nothing left");
    });
  });

  function openDescriptors(): number {
    return [...new Bun.Glob("*").scanSync({ cwd: "/proc/self/fd", onlyFiles: false })].length;
  }
}
