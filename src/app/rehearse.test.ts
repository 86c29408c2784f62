import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { z } from "zod";
import { pathText } from "../base/place.ts";
import { type Config, type ConfigInput, configSchema } from "../config/schema.ts";
import { KINDS } from "../observability/metrics-table.ts";
import type { listenerTlsSchema } from "../tls/schema.ts";
import { createSelfSigned } from "../tls/self-signed.ts";
import { rehearse } from "./rehearse.ts";

const folder = mkdtempSync(join(tmpdir(), "evenkeel-rehearsal-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function pairOf(name: string): { certificate: string; key: string } {
  const { certificatePem, keyPem } = createSelfSigned([`${name}.test`], Date.now());
  return { certificate: file(`${name}.pem`, certificatePem), key: file(`${name}.key`, keyPem) };
}

const site = pairOf("site");
const other = pairOf("other");
const NONE = "/nowhere/none.pem";
const POOLS: ConfigInput["pools"] = { app: { endpoints: ["127.0.0.1:1"] } };

/** What is said, as `PLACE: REASON`. */
async function problemsOf(input: ConfigInput): Promise<string[]> {
  const problems = await rehearse(configSchema.parse({ accessLog: false, pools: POOLS, ...input }));
  return problems.map(({ path, reason }) => `${pathText(path)}: ${reason}`);
}

function problemsOfTls(tls: z.input<typeof listenerTlsSchema>): Promise<string[]> {
  return problemsOf({ listeners: { web: { address: ":8443", pool: "app", tls } } });
}

describe("a rehearsal", () => {
  test("of everything that is good finds nothing, and leaves nothing behind", async () => {
    const before = readdirSync(folder);
    const [storage, log] = [join(folder, "acme"), join(folder, "access.log")];
    const found = await problemsOf({
      listeners: {
        web: {
          address: ":8443",
          pool: "app",
          tls: {
            certificates: [site, "self-signed", { acme: { names: ["a.test"] } }],
            clientAuthentication: { mode: "require", ca: [site.certificate, other.certificate] },
          },
        },
        mail: { protocol: "tcp", address: ":8993", pool: "app", tls: { certificates: [other] } },
        dns: { protocol: "udp", address: ":8053", pool: "app" },
      },
      pools: {
        app: {
          endpoints: ["nobody.invalid:443", "192.0.2.1:443"],
          connections: { tls: { ca: site.certificate, ...other } },
          health: { type: "tcp" },
        },
      },
      acme: { acceptTerms: true, storage, ca: other.certificate },
      accessLog: { path: log },
    });
    expect(found).toEqual([]);
    expect(readdirSync(folder)).toEqual(before);
    expect(existsSync(storage)).toBe(false);
  });

  test("finds certificates that cannot be used, all of them", async () => {
    const found = await problemsOfTls({
      certificates: [
        site,
        { certificate: NONE, key: site.key },
        { certificate: site.certificate, key: other.key },
        { certificate: NONE, key: site.key },
      ],
    });
    expect(found).toEqual([
      `listeners.web.tls.certificates[1].certificate: ${NONE}: no such file; give the path of a PEM file`,
      expect.stringContaining(`listeners.web.tls.certificates[2].key: ${other.key}: the key does not belong`),
      expect.stringContaining("listeners.web.tls.certificates[3].certificate: "),
    ]);
  });

  test("finds what else a listener cannot speak TLS with", async () => {
    const found = await problemsOfTls({
      certificates: [site],
      ciphers: ["ECDHE-RSA-AES128-GCM-SHA256", "NONSENSE"],
      clientAuthentication: { mode: "require", ca: NONE },
    });
    expect(found).toEqual([
      expect.stringContaining("listeners.web.tls.ciphers[1]: NONSENSE is not a cipher"),
      expect.stringContaining(`listeners.web.tls.clientAuthentication.ca: ${NONE}: no such file`),
    ]);
    const { certificate } = site;
    expect(
      await problemsOfTls({
        certificates: [site],
        clientAuthentication: { mode: "request", ca: certificate, crl: certificate },
      }),
    ).toEqual([expect.stringContaining("listeners.web.tls.clientAuthentication.crl: ")]);
    // What nobody is asked for is not read when it is served either.
    expect(await problemsOfTls({ certificates: [site], clientAuthentication: { mode: "off", ca: NONE } })).toEqual([]);
  });

  test("finds files of pools, of the authority and of the access log, beside those of listeners", async () => {
    const found = await problemsOf({
      listeners: {
        mail: { protocol: "tcp", address: ":8993", tls: { certificates: [{ certificate: NONE, key: NONE }] } },
      },
      pools: {
        app: { endpoints: ["127.0.0.1:1"], connections: { tls: { ca: [site.certificate, NONE] } } },
        more: { endpoints: ["127.0.0.1:2"], connections: { tls: { certificate: site.certificate, key: other.key } } },
      },
      acme: { acceptTerms: true, ca: NONE },
      accessLog: { path: "/nowhere/access.log" },
    });
    expect(found.map((problem) => problem.split(": ", 1)[0])).toEqual([
      "acme.ca",
      "accessLog.path",
      "listeners.mail.tls.certificates[0].certificate",
      "pools.app.connections.tls.ca[1]",
      "pools.more.connections.tls.key",
    ]);
  });

  test("finds more than there is room for", async () => {
    const names = Array.from({ length: KINDS.listener.rows + 1 }, (_, index) => index);
    const listeners = Object.fromEntries(names.map((index) => [`web-${index}`, { address: `:${index + 1}` }]));
    expect(await problemsOf({ listeners })).toEqual([
      expect.stringContaining(`listeners: there can be ${KINDS.listener.rows} listeners at most`),
    ]);
  });

  test("warns of certificates that clients will refuse, beside what is wrong", async () => {
    const { certificatePem, keyPem } = createSelfSigned(["old.test"], Date.parse("2020-01-01"));
    const old = { certificate: file("old.pem", certificatePem), key: file("old.key", keyPem) };
    const certificates = [site, old, { ...other, key: NONE }];
    const listeners = { web: { address: ":8443", pool: "app", tls: { certificates } } };
    const found = await rehearse(configSchema.parse({ accessLog: false, pools: POOLS, listeners }));
    expect(found.map(({ severity, path }) => `${severity} ${pathText(path)}`)).toEqual([
      "error listeners.web.tls.certificates[2].key",
      "warning listeners.web.tls.certificates[1].certificate",
    ]);
    expect(found[1]?.reason).toMatch(/old\.pem: expired on \d{4}-\d\d-\d\d; clients will refuse it/);
  });

  test("passes a mistake of ours on", async () => {
    const config = { ...configSchema.parse({ listeners: {}, accessLog: false }), routes: undefined };
    const failed = await rehearse(config as unknown as Config).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(TypeError);
  });
});
