import { afterAll, describe, expect, test } from "bun:test";
import { createAuthority, hasOpenssl, openssl } from "../../test/support/openssl.ts";
import { type Certificate, certificateWarnings, loadCertificate, readCertificates } from "./certificate.ts";
import { createSelfSigned } from "./self-signed.ts";

const NOW_MS = Date.UTC(2026, 5, 1);
const DAY_MS = 86_400_000;

function load(certificatePem: string, keyPem: string, passphrase?: string): Certificate {
  return loadCertificate({
    certificatePem,
    keyPem,
    certificateFrom: "chain.pem",
    keyFrom: "key.pem",
    ...(passphrase !== undefined && { passphrase }),
  });
}

describe("a certificate with its key", () => {
  const own = createSelfSigned(["a.test", "*.b.test", "10.0.0.1", "::1"], NOW_MS);

  test("is read with its names, dates and fingerprint", () => {
    const certificate = load(own.certificatePem, own.keyPem);
    expect(certificate).toMatchObject({
      from: "chain.pem",
      names: ["a.test", "*.b.test", "10.0.0.1", "::1"],
      subject: "CN=a.test",
      keyType: "ecdsa",
      notBeforeMs: NOW_MS - 3_600_000,
      notAfterMs: NOW_MS - 3_600_000 + 90 * DAY_MS,
      certificatesInChain: 1,
    });
    expect(certificate.fingerprint256).toMatch(/^[0-9a-f]{64}$/);
    expect(load(certificate.certificatePem, certificate.keyPem)).toEqual(certificate);
  });

  test("survives Windows line ends and words around the blocks", () => {
    const chain = `Bag Attributes\n${own.certificatePem}`.replaceAll("\n", "\r\n");
    expect(load(chain, own.keyPem.replaceAll("\n", "\r\n")).fingerprint256).toBe(
      load(own.certificatePem, own.keyPem).fingerprint256,
    );
  });

  test("warns of what clients will not like", () => {
    const certificate = load(own.certificatePem, own.keyPem);
    const codes = (nowMs: number, changed: Partial<Certificate> = {}) =>
      certificateWarnings({ ...certificate, ...changed }, nowMs).map(({ code }) => code);
    expect(codes(NOW_MS)).toEqual([]);
    expect(codes(NOW_MS - DAY_MS)).toEqual(["not-yet-valid"]);
    expect(codes(NOW_MS + 90 * DAY_MS)).toEqual(["expired"]);
    expect(codes(NOW_MS, { names: [] })).toEqual(["no-names"]);
    expect(certificateWarnings(certificate, NOW_MS + 90 * DAY_MS)[0]?.message).toBe(
      "chain.pem: expired on 2026-08-29; clients will refuse it",
    );
  });

  test("is refused with words that help", () => {
    const other = createSelfSigned(["other.test"], NOW_MS);
    const damaged = own.certificatePem.replace(/\n[^-\n]{10}/, "\nAAAAAAAAAA");
    expect(() => load("", own.keyPem)).toThrow(
      "chain.pem: no certificate in it; it is empty, expected a PEM block that begins with -----BEGIN CERTIFICATE-----",
    );
    expect(() => load("hello", own.keyPem)).toThrow("it is not PEM");
    expect(() => load(own.keyPem, own.keyPem)).toThrow("chain.pem: no certificate in it; it has PRIVATE KEY");
    expect(() => load(own.certificatePem, own.certificatePem)).toThrow(
      "key.pem: no private key in it; it has CERTIFICATE",
    );
    expect(() => load(damaged, own.keyPem)).toThrow("chain.pem: certificate 1 of 1 is damaged");
    expect(() => load(own.certificatePem, other.keyPem)).toThrow(
      "key.pem: the key does not belong to the certificate in chain.pem (CN=a.test)",
    );
    expect(() => load(own.certificatePem.repeat(11), own.keyPem)).toThrow("Is this a file of authorities?");
    expect(() => load(own.certificatePem + other.certificatePem, own.keyPem)).toThrow(
      "chain.pem: certificate 2 (CN=other.test) did not issue certificate 1 (issued by CN=a.test)",
    );
    expect(() => load(own.certificatePem, own.keyPem.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA"))).toThrow(
      "key.pem: the private key is damaged or of an unknown kind",
    );
  });

  test("a file of authorities gives all of them", () => {
    const two = own.certificatePem + createSelfSigned(["z.test"], NOW_MS).certificatePem;
    expect(readCertificates(two, "ca.pem").map(({ subject }) => subject)).toEqual(["CN=a.test", "CN=z.test"]);
  });
});

if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  describe("certificates made by openssl", () => {
    const authority = createAuthority();
    afterAll(() => authority.remove());

    test("every supported kind of key", () => {
      for (const [kind, keyType] of [
        ["rsa", "rsa"],
        ["p256", "ecdsa"],
        ["p384", "ecdsa"],
        ["ed25519", "ed25519"],
      ] as const) {
        const pair = authority.issue(kind, `DNS:${kind}.test,DNS:*.${kind}.test,IP:192.0.2.7,IP:2001:db8::7`, kind);
        const certificate = load(pair.certificatePem + authority.caPem, pair.keyPem);
        expect(certificate).toMatchObject({
          keyType,
          names: [`${kind}.test`, `*.${kind}.test`, "192.0.2.7", "2001:db8::7"],
          certificatesInChain: 2,
        });
        const printed = openssl(["x509", "-in", pair.certificatePath, "-noout", "-fingerprint", "-sha256"]);
        expect(printed.trim().split("=")[1]?.replaceAll(":", "").toLowerCase()).toBe(certificate.fingerprint256);
      }
    });

    test("a chain in the wrong order says so", () => {
      const pair = authority.issue("order", "DNS:order.test");
      expect(() => load(authority.caPem + pair.certificatePem, pair.keyPem)).toThrow(
        "the key in key.pem belongs to certificate 2 of 2; put the server's own certificate first",
      );
    });

    test("keys that are not good enough", () => {
      const make = (...options: readonly string[]) => openssl(["genpkey", ...options]);
      const pair = authority.issue("weak", "DNS:weak.test");
      const small = make("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024");
      expect(() => load(pair.certificatePem, small)).toThrow(
        "key.pem: an RSA key of 1024 bits; use RSA of 2048 bits or more",
      );
      const curve = make("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521");
      expect(() => load(pair.certificatePem, curve)).toThrow("key.pem: an ECDSA key on secp521r1");
    });

    test("an encrypted key is opened by its passphrase alone", () => {
      const pair = authority.issue("locked", "DNS:locked.test");
      const locked = openssl(["pkcs8", "-topk8", "-in", pair.keyPath, "-passout", "pass:secret"]);
      expect(() => load(pair.certificatePem, locked)).toThrow("key.pem: the key is encrypted; give its passphrase");
      expect(() => load(pair.certificatePem, locked, "wrong")).toThrow(
        "key.pem: the passphrase does not open this key",
      );
      const opened = load(pair.certificatePem, locked, "secret");
      expect(opened.keyPem).toStartWith("-----BEGIN PRIVATE KEY-----");
      expect(opened.names).toEqual(["locked.test"]);
    });

    test("the first of a chain to expire counts", () => {
      const pair = authority.issue("long", "DNS:long.test");
      const alone = load(pair.certificatePem, pair.keyPem);
      const chain = load(pair.certificatePem + authority.caPem, pair.keyPem);
      expect(chain.notAfterMs).toBe(alone.notAfterMs);
      expect(chain.notAfterMs - chain.notBeforeMs).toBe(20 * DAY_MS);
    });
  });
}
