/** Certificates from a real authority (pebble), by the program itself with several workers. */
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import type { ConfigInput } from "../../src/config/schema.ts";
import { toPem } from "../../src/tls/der.ts";
import { buildSelfSigned, generateKey, keyToPem } from "../../src/tls/x509.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { hasPebble, type Pebble, startPebble } from "../support/pebble.ts";
import { endAll, eventually, freePort, temporaryFolder } from "../support/process.ts";

const DAY_MS = 86_400_000;

interface Shown {
  readonly issuer: string;
  readonly fingerprint: string;
  readonly names: string;
}

if (!hasPebble()) console.log("skipped: pebble is not installed");
else {
  describe("certificates from an authority", () => {
    const stops: (() => Promise<void>)[] = [];
    afterEach(async () => {
      await endAll();
      for (const stop of stops.splice(0)) await stop();
    });

    interface Setting {
      readonly config: (extra?: Partial<ConfigInput>) => ConfigInput;
      readonly httpPort: number;
      readonly tlsPort: number;
      readonly storage: string;
      readonly pebble: Pebble;
    }

    async function prepare(challenge: "http-01" | "tls-alpn-01", names: string[]): Promise<Setting> {
      const [httpPort, tlsPort] = [await freePort(), await freePort()];
      const pebble = await startPebble({ httpPort, tlsPort });
      stops.push(() => pebble.stop());
      const folder = temporaryFolder();
      const [storage, ca] = [join(folder, "acme"), join(folder, "pebble.pem")];
      writeFileSync(ca, pebble.caPem);
      const config = (extra: Partial<ConfigInput> = {}): ConfigInput => ({
        workers: 2,
        acme: { directory: pebble.directoryUrl, acceptTerms: true, storage, ca, email: "admin@example.com" },
        listeners: {
          plain: { address: `127.0.0.1:${httpPort}` },
          secure: { address: `127.0.0.1:${tlsPort}`, tls: { certificates: [{ acme: { names, challenge } }] } },
        },
        routes: [{ match: { pathPrefix: "/" }, respond: { body: "routed" } }],
        ...extra,
      });
      return { config, httpPort, tlsPort, storage, pebble };
    }

    function issued(evenkeel: Evenkeel, count = 1): Promise<void> {
      return eventually(
        () => evenkeel.count("a certificate was issued") >= count,
        () => `certificate ${count} of ${evenkeel.describe()}`,
        60_000,
      );
    }

    test("HTTP-01: a stand-in first, then the certificate in every worker; a reload and a restart keep it", async () => {
      const { config, httpPort, tlsPort, storage, pebble } = await prepare("http-01", ["one.test", "two.test"]);
      const evenkeel = await startEvenkeel(config());
      await evenkeel.says("a self-signed certificate stands in until one is issued");
      await issued(evenkeel);
      await eventually(async () => (await show(tlsPort)).issuer.startsWith("Pebble"), "the certificate");
      const first = await show(tlsPort);
      expect(first.names).toContain("DNS:two.test");
      for (let connection = 0; connection < 12; connection++) expect(await show(tlsPort)).toEqual(first);

      // Trusted by whoever trusts the authority, and nothing is left of the challenges.
      const url = `https://one.test:${tlsPort}/.well-known/acme-challenge/x`;
      const trusted = await fetch(url.replace("one.test", "127.0.0.1"), {
        headers: { Host: "one.test" },
        tls: { ca: await pebble.rootPem(), serverName: "one.test" },
      });
      expect(await trusted.text()).toBe("routed");
      const open = await fetch(`http://127.0.0.1:${httpPort}/.well-known/acme-challenge/x`);
      expect(await open.text()).toBe("routed");

      expect(fileModes(storage)).toEqual(["600", "600"]);
      const metrics = await evenkeel.metrics();
      const expiry = metrics.sum("evenkeel_certificate_expiry_timestamp_seconds", 'names="one.test two.test"');
      expect(expiry).toBeGreaterThan(Date.now() / 1_000 + 86_400);
      expect(metrics.sum("evenkeel_listener_tls_handshakes_total", 'result="full"')).toBeGreaterThanOrEqual(12);

      expect(await evenkeel.reload(config({ routes: [{ respond: { body: "again" } }] }))).toBe(true);
      expect(await show(tlsPort)).toEqual(first);
      expect(evenkeel.count("a certificate was issued")).toBe(1);
      evenkeel.signal("SIGTERM");
      await evenkeel.ending();

      const second = await startEvenkeel(config());
      expect(await show(tlsPort)).toEqual(first);
      expect(second.count("stands in")).toBe(0);
      expect(second.count("an ACME account was made")).toBe(0);
    }, 90_000);

    test("TLS-ALPN-01 on the port that serves, while clients come and go; renewal", async () => {
      const { config, tlsPort, storage } = await prepare("tls-alpn-01", ["alpn.test"]);
      const evenkeel = await startEvenkeel(config());
      const answers: string[] = [];
      let running = true;
      const clients = (async () => {
        while (running) answers.push(await ask(tlsPort));
      })();
      await issued(evenkeel);
      await eventually(async () => (await show(tlsPort)).issuer.startsWith("Pebble"), "the certificate");
      running = false;
      await clients;
      expect(answers.length).toBeGreaterThan(0);
      expect(new Set(answers)).toEqual(new Set(["routed"]));
      const first = await show(tlsPort);

      // A new set of names is a new order; a worker that is replaced meanwhile knows of it.
      const { listeners } = config();
      const names = ["alpn.test", "more.test"];
      const certificates = [{ acme: { names, challenge: "tls-alpn-01" as const } }];
      const changed = { listeners: { ...listeners, secure: { ...listeners["secure"], tls: { certificates } } } };
      // Killed before: what the authority had already sent to it would be lost, and the next order comes a minute later.
      process.kill(evenkeel.workers()[0] as number, "SIGKILL");
      await evenkeel.says("a worker ended and is replaced");
      expect(await evenkeel.reload(config(changed as Partial<ConfigInput>))).toBe(true);
      await issued(evenkeel, 2);
      await eventually(async () => (await show(tlsPort)).names.includes("more.test"), "the second certificate");
      expect((await show(tlsPort)).fingerprint).not.toBe(first.fingerprint);
      expect(readdirSync(join(storage, "certificates"))).toHaveLength(2);
    }, 90_000);

    test("a stored certificate near its end is served and renewed at once; one that is damaged is ordered anew", async () => {
      const { config, tlsPort, storage } = await prepare("http-01", ["old.test"]);
      const evenkeel = await startEvenkeel(config());
      await issued(evenkeel);
      evenkeel.signal("SIGTERM");
      await evenkeel.ending();
      const [file] = readdirSync(join(storage, "certificates")) as [string];
      const path = join(storage, "certificates", file);
      const before = readFileSync(path, "utf8");
      writeFileSync(path, endingSoon("old.test"));

      const second = await startEvenkeel(config());
      expect(second.count("stands in")).toBe(0);
      await second.says("a certificate expires in");
      await issued(second);
      await eventually(async () => (await show(tlsPort)).issuer.startsWith("Pebble"), "the renewed certificate");
      expect(readFileSync(path, "utf8")).not.toBe(before);
      second.signal("SIGTERM");
      await second.ending();

      writeFileSync(path, "not a certificate\n");
      const third = await startEvenkeel(config());
      await third.says("a stored certificate cannot be used");
      await issued(third);
      await eventually(async () => (await show(tlsPort)).issuer.startsWith("Pebble"), "another certificate");
    }, 90_000);
  });
}

function show(port: number): Promise<Shown> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername: "one.test", rejectUnauthorized: false }, () => {
      const { issuer, fingerprint256, subjectaltname } = socket.getPeerCertificate();
      resolve({ issuer: String(issuer.CN), fingerprint: fingerprint256, names: subjectaltname ?? "" });
      socket.end();
    });
    socket.on("error", reject);
  });
}

async function ask(port: number): Promise<string> {
  const tls = { rejectUnauthorized: false };
  return (await fetch(`https://127.0.0.1:${port}/`, { headers: { Connection: "close" }, tls })).text();
}

/** Modes of all files of the store. */
function fileModes(storage: string): string[] {
  return ["accounts", "certificates"].flatMap((folder) =>
    readdirSync(join(storage, folder)).map((file) => (statSync(join(storage, folder, file)).mode & 0o777).toString(8)),
  );
}

/** A certificate of which more than two thirds are over. */
function endingSoon(name: string): string {
  const now = Date.now();
  const key = generateKey();
  const certificate = buildSelfSigned({
    names: [name],
    key,
    notBeforeMs: now - 80 * DAY_MS,
    notAfterMs: now + 5 * DAY_MS,
  });
  return `${keyToPem(key)}${toPem("CERTIFICATE", certificate)}`;
}
