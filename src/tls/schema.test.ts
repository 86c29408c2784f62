import { describe, expect, test } from "bun:test";
import { strictTransportSecurity } from "./hsts.ts";
import { acmeSchema, endpointTlsSchema, listenerTlsSchema } from "./schema.ts";

const messages = (result: { error?: { issues: { path: PropertyKey[]; message: string }[] } | undefined }): string[] =>
  (result.error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);

describe("tls of a listener", () => {
  test("is safe when nothing is said", () => {
    const config = listenerTlsSchema.parse({ certificates: ["self-signed"] });
    expect(config).toMatchObject({
      certificates: [{ selfSigned: { names: ["localhost", "127.0.0.1", "::1"] } }],
      strictSni: false,
      minVersion: "1.2",
      maxVersion: "1.3",
      clientAuthentication: { mode: "off" },
      hsts: false,
      handshakeTimeout: 10_000,
      sessionTickets: true,
    });
    for (const cipher of config.ciphers) expect(cipher).toMatch(/^ECDHE-.*(GCM|POLY1305)/);
  });

  test("takes files and an authority beside each other", () => {
    const certificates = [
      { certificate: "/a.pem", key: "/a.key" },
      { acme: { names: ["WWW.Example.com.", "example.com"] } },
    ];
    expect(listenerTlsSchema.parse({ certificates }).certificates).toEqual([
      { certificate: "/a.pem", key: "/a.key" },
      { acme: { names: ["www.example.com", "example.com"], challenge: "http-01" } },
    ]);
  });

  test("refuses what cannot work", () => {
    const parse = (more: object) =>
      messages(listenerTlsSchema.safeParse({ certificates: [{ certificate: "a", key: "b" }], ...more }));
    expect(parse({ minVersion: "1.3", maxVersion: "1.2" })).toEqual([
      "minVersion: `minVersion` is newer than `maxVersion`",
    ]);
    expect(parse({ clientAuthentication: { mode: "require" } })).toEqual([
      "clientAuthentication.ca: client certificates cannot be verified without authorities: give `ca`",
    ]);
    expect(parse({ minVersion: "1.1" })).toHaveLength(1);
    expect(parse({ certificates: [] })).toHaveLength(1);
    expect(parse({ certificates: [{ certificate: "a" }] })).toHaveLength(1);
    expect(parse({ certificates: [{ acme: { names: ["*.example.com"] } }] })).toHaveLength(1);
    expect(parse({ certificates: [{ acme: { names: ["10.0.0.1"] } }] })).toHaveLength(1);
    expect(parse({ unknown: true })).toHaveLength(1);
  });
});

test("tls of a pool verifies unless told otherwise", () => {
  expect(endpointTlsSchema.parse({})).toEqual({ verify: true, alpn: [] });
  expect(messages(endpointTlsSchema.safeParse({ certificate: "a.pem" }))).toEqual([
    "key: `certificate` and `key` belong together: give both or neither",
  ]);
  expect(endpointTlsSchema.parse({ ca: "ca.pem" }).ca).toEqual(["ca.pem"]);
});

test("acme goes to an https address, after the terms have been accepted", () => {
  expect(acmeSchema.parse({})).toMatchObject({ acceptTerms: false, maxOrders: 2 });
  expect(messages(acmeSchema.safeParse({ directory: "http://ca.test/dir" }))).toEqual([
    "directory: expected an https:// address",
  ]);
});

test("Strict-Transport-Security", () => {
  const hsts = (config: object | false) => {
    const parsed = listenerTlsSchema.parse({ certificates: ["self-signed"], hsts: config }).hsts;
    return strictTransportSecurity(parsed);
  };
  expect(hsts(false)).toBeUndefined();
  expect(hsts({})).toBe("max-age=15552000");
  expect(hsts({ maxAge: "365d", includeSubDomains: true, preload: true })).toBe(
    "max-age=31536000; includeSubDomains; preload",
  );
});
