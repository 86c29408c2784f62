/** Certificates from a real authority: pebble checks the answers over HTTP and in TLS handshakes, on loopback. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, systemTimers } from "../../src/base/clock.ts";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { silentLog } from "../../src/observability/log.ts";
import { type Challenge, type ChallengeResponder, ChallengeTable } from "../../src/tls/acme/challenges.ts";
import { AcmeManager, type AcmeManagerOptions } from "../../src/tls/acme/manager.ts";
import { AcmeStore } from "../../src/tls/acme/store.ts";
import { createTransport } from "../../src/tls/acme/transport.ts";
import type { Certificate } from "../../src/tls/certificate.ts";
import { challengeListener } from "../support/challenge-listener.ts";
import { freePort } from "../support/free-port.ts";
import { hasPebble, type Pebble, startPebble } from "../support/pebble.ts";

const DAY_MS = 86_400_000;

/** A manager with everything it needs, and what came of it. */
interface Run {
  readonly manager: AcmeManager;
  readonly issued: Certificate[];
}

if (!hasPebble()) console.log("skipped: pebble is not installed");
else {
  describe("ACME with pebble", () => {
    const folders: string[] = [];
    const managers: AcmeManager[] = [];
    const table = new ChallengeTable(() => Date.now());
    const seen: string[] = [];
    let pebble: Pebble;
    let httpPort = 0;
    let tlsPort = 0;
    let stopServers: () => void;

    beforeAll(async () => {
      const http = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch: (request) => {
          const answer = table.httpAnswer(new URL(request.url).pathname);
          seen.push(`http-01 ${new URL(request.url).hostname}`);
          return answer === undefined ? new Response("no", { status: 404 }) : new Response(answer);
        },
      });
      const tls = challengeListener(table, seen);
      [httpPort, tlsPort] = [http.port as number, tls.port];
      stopServers = () => {
        void http.stop(true);
        tls.stop(true);
      };
      pebble = await startPebble({ httpPort, tlsPort });
    });

    afterEach(() => {
      for (const manager of managers.splice(0)) manager.close();
      for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
      seen.length = 0;
    });

    afterAll(async () => {
      stopServers();
      await pebble.stop();
    });

    function newFolder(): string {
      const folder = mkdtempSync(join(tmpdir(), "evenkeel-acme-"));
      folders.push(folder);
      return join(folder, "acme");
    }

    function start(folder: string, changes: Partial<AcmeManagerOptions> = {}): Run {
      const issued: Certificate[] = [];
      const manager = new AcmeManager({
        directoryUrl: pebble.directoryUrl,
        transport: createTransport({ timers: systemTimers, userAgent: "evenkeel-test", caPem: pebble.caPem }),
        store: new AcmeStore(folder),
        responder: table,
        clock: systemClock,
        timers: systemTimers,
        random: seededRandom(1),
        log: silentLog,
        maxOrders: 2,
        acceptTerms: true,
        email: "hostmaster@example.com",
        onCertificate: (_names, certificate) => issued.push(certificate),
        ...changes,
      });
      managers.push(manager);
      return { manager, issued };
    }

    test("one certificate over several names by HTTP-01, kept for its owner alone", async () => {
      const folder = newFolder();
      const { manager, issued } = start(folder);
      manager.setRequests([{ names: ["one.test", "two.test", "three.test"], challenge: "http-01" }]);
      await until(() => issued.length === 1, manager);

      const certificate = issued[0] as Certificate;
      expect([...certificate.names].sort()).toEqual(["one.test", "three.test", "two.test"]);
      expect(certificate.certificatesInChain).toBeGreaterThanOrEqual(2);
      expect([...new Set(seen)].sort()).toEqual(["http-01 one.test", "http-01 three.test", "http-01 two.test"]);
      expect(table.openHttp).toBe(0);
      const last = certificate.certificatePem.split(/(?=-----BEGIN)/).at(-1) as string;
      expect(new X509Certificate(last).checkIssued(new X509Certificate(await pebble.rootPem()))).toBe(true);
      for (const [path, mode] of modes(folder))
        expect(`${path} ${mode}`).toBe(`${path} ${path.includes(".") ? "600" : "700"}`);
    });

    test("TLS-ALPN-01", async () => {
      const { manager, issued } = start(newFolder());
      manager.setRequests([{ names: ["alpn.test", "alpn2.test"], challenge: "tls-alpn-01" }]);
      await until(() => issued.length === 1, manager);
      expect(issued[0]?.names).toContain("alpn2.test");
      expect(new Set(seen)).toEqual(new Set(["tls-alpn-01 alpn.test", "tls-alpn-01 alpn2.test"]));
      expect(table.openTls).toBe(0);
    });

    test("a restart uses the stored account and certificate", async () => {
      const folder = newFolder();
      const request = { names: ["restart.test"], challenge: "http-01" } as const;
      const first = start(folder);
      first.manager.setRequests([request]);
      await until(() => first.issued.length === 1, first.manager);
      first.manager.close();

      const again = start(folder);
      again.manager.setRequests([request]);
      expect(again.issued.map(({ fingerprint256 }) => fingerprint256)).toEqual([
        first.issued[0]?.fingerprint256 as string,
      ]);
      expect(again.manager.states()[0]).toMatchObject({ phase: "waiting", failures: 0 });
      const account = readAccount(folder);
      again.manager.setRequests([{ names: ["other.test"], challenge: "http-01" }]);
      await until(() => again.issued.length === 2, again.manager);
      expect(readAccount(folder)).toEqual(account);
    });

    test("an account that the authority has forgotten is made again with the same key", async () => {
      const folder = newFolder();
      const port = await freePort();
      const keys: string[] = [];
      for (const name of ["before.test", "after.test"]) {
        const forgetful = await startPebble({ httpPort, tlsPort, port });
        try {
          const transport = createTransport({
            timers: systemTimers,
            userAgent: "evenkeel-test",
            caPem: forgetful.caPem,
          });
          const { manager, issued } = start(folder, { directoryUrl: forgetful.directoryUrl, transport });
          manager.setRequests([{ names: [name], challenge: "http-01" }]);
          await until(() => issued.length === 1, manager);
          keys.push(readAccount(folder).keyPem);
          manager.close();
        } finally {
          await forgetful.stop();
        }
      }
      expect(keys[0]).toBe(keys[1] as string);
    });

    test("renewal after two thirds of the lifetime", async () => {
      const clock = new FakeClock(Date.now());
      const { manager, issued } = start(newFolder(), { clock, timers: clock });
      manager.setRequests([{ names: ["renew.test"], challenge: "http-01" }]);
      await until(() => issued.length === 1, manager, clock);

      const first = issued[0] as Certificate;
      const lifetimeMs = first.notAfterMs - first.notBeforeMs;
      const dueMs = manager.states()[0]?.nextOrderMs as number;
      const share = (dueMs - first.notBeforeMs) / lifetimeMs;
      expect(share).toBeGreaterThan(2 / 3 - 1 / 30);
      expect(share).toBeLessThanOrEqual(2 / 3);
      clock.advance(dueMs - clock.wallNow() - DAY_MS);
      expect(manager.states()[0]?.phase).toBe("waiting");
      clock.advance(DAY_MS + 1_000);
      await until(() => issued.length === 2, manager, clock);
      expect(issued[1]?.fingerprint256).not.toBe(first.fingerprint256);
      expect(issued[1]?.keyPem).not.toBe(first.keyPem);
    });

    test("a wrong answer fails with what the authority says, and is tried again later", async () => {
      const wrong: ChallengeResponder = {
        present: (challenge: Challenge) =>
          table.present({ ...challenge, keyAuthorization: `${challenge.token}.wrong` }),
        withdraw: (challenge) => table.withdraw(challenge),
      };
      for (const challenge of ["http-01", "tls-alpn-01"] as const) {
        const clock = new FakeClock(Date.now());
        const { manager, issued } = start(newFolder(), { clock, timers: clock, responder: wrong });
        manager.setRequests([{ names: ["wrong.test"], challenge }]);
        await until(() => manager.states()[0]?.failures === 1, manager, clock, true);
        const state = manager.states()[0];
        expect(state?.lastError).toContain(
          `${challenge} challenge for wrong.test: the authority refused (unauthorized)`,
        );
        expect((state?.nextOrderMs ?? 0) - clock.wallNow()).toBeGreaterThan(30_000);
        expect(issued).toEqual([]);
        expect(table.openHttp + table.openTls).toBe(0);
      }
    });

    test("an authority that is down is tried again, and answers then", async () => {
      const port = await freePort();
      const clock = new FakeClock(Date.now());
      let caPem = "";
      const { manager, issued } = start(newFolder(), {
        clock,
        timers: clock,
        directoryUrl: `https://127.0.0.1:${port}/dir`,
        transport: (request, signal) =>
          createTransport({ timers: systemTimers, userAgent: "evenkeel-test", caPem })(request, signal),
      });
      manager.setRequests([{ names: ["late.test"], challenge: "http-01" }]);
      await until(() => manager.states()[0]?.failures === 1, manager, clock, true);
      expect(manager.states()[0]?.lastError).toContain(`https://127.0.0.1:${port}/dir: no answer from the authority`);
      const late = await startPebble({ httpPort, tlsPort, port });
      try {
        caPem = late.caPem;
        clock.advance(90_000);
        await until(() => issued.length === 1, manager, clock);
        expect(manager.states()[0]).toMatchObject({ failures: 0, lastError: undefined });
      } finally {
        await late.stop();
      }
    });

    test("an account that is bound to one with the authority", async () => {
      const externalAccount = {
        keyId: "kid-1",
        key: "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
      };
      const strict = await startPebble({ httpPort, tlsPort, externalAccount });
      try {
        const transport = createTransport({ timers: systemTimers, userAgent: "evenkeel-test", caPem: strict.caPem });
        const common = { directoryUrl: strict.directoryUrl, transport };
        const without = start(newFolder(), common);
        without.manager.setRequests([{ names: ["eab.test"], challenge: "http-01" }]);
        await until(() => without.manager.states()[0]?.failures === 1, without.manager, undefined, true);
        expect(without.manager.states()[0]?.lastError).toContain("set externalAccount");
        const bound = start(newFolder(), { ...common, externalAccount });
        bound.manager.setRequests([{ names: ["eab.test"], challenge: "http-01" }]);
        await until(() => bound.issued.length === 1, bound.manager);
      } finally {
        await strict.stop();
      }
    });
  });
}

/** Waits for real answers; a fake clock is moved on a little meanwhile, for the pauses between questions. */
async function until(done: () => boolean, manager: AcmeManager, clock?: FakeClock, mayFail = false): Promise<void> {
  for (let waited = 0; waited < 30_000; waited += 10) {
    if (done()) return;
    const error = manager.states().find(({ lastError }) => lastError !== undefined)?.lastError;
    if (!mayFail && error !== undefined && clock === undefined) throw new Error(error);
    clock?.advance(25);
    await Bun.sleep(10);
  }
  throw new Error(`nothing came of it: ${JSON.stringify(manager.states())}`);
}

/** Paths under `folder`, with it, and their modes in octal digits. */
function modes(folder: string): [path: string, mode: string][] {
  return ["", ...readdirSync(folder, { recursive: true }).map(String)].map((name) => [
    name,
    (statSync(join(folder, name)).mode & 0o777).toString(8),
  ]);
}

function readAccount(folder: string): { directory: string; url: string; keyPem: string } {
  const [file] = readdirSync(join(folder, "accounts"));
  return JSON.parse(readFileSync(join(folder, "accounts", file as string), "utf8"));
}
