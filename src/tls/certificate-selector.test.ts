import { describe, expect, test } from "bun:test";
import { type Certificate, loadCertificate } from "./certificate.ts";
import { CertificateSelector, type SelectorOptions } from "./certificate-selector.ts";
import { checkCiphers, DEFAULT_CIPHERS, DEFAULT_SERVER_SETTINGS, encodeProtocols } from "./secure-context.ts";
import { createSelfSigned } from "./self-signed.ts";

function certificate(...names: readonly string[]): Certificate {
  return loadCertificate({ ...createSelfSigned(names, 0), certificateFrom: names[0] ?? "", keyFrom: "key" });
}

function select(changes: Partial<SelectorOptions> & Pick<SelectorOptions, "certificates">): CertificateSelector {
  return new CertificateSelector({ settings: DEFAULT_SERVER_SETTINGS, strictSni: false, ...changes });
}

describe("the certificate for a name", () => {
  const certificates = [
    certificate("main.test", "www.main.test"),
    certificate("*.main.test"),
    certificate("api.main.test", "main.test"),
    certificate("localhost", "10.0.0.1"),
  ];

  test("exact before wildcard before default; the earlier of two", () => {
    const selector = select({ certificates });
    expect(selector.contexts).toBe(4);
    const main = selector.select("main.test");
    const wildcard = selector.select("x.main.test");
    expect(main).toBe(selector.defaultContext);
    expect(selector.select("www.main.test")).toBe(main);
    expect(wildcard).not.toBe(main);
    for (const name of ["y.main.test", "X.MAIN.TEST", "x.main.test."]) expect(selector.select(name)).toBe(wildcard);
    expect([main, wildcard]).not.toContain(selector.select("api.main.test"));
    for (const name of ["a.b.main.test", "test", "", ".main.test.x", "other.test"])
      expect(selector.select(name)).toBe(main);
    expect(selector.select("LOCALHOST")).not.toBe(main);
  });

  test("strict SNI gives nothing for other names, and a default without a certificate", () => {
    const selector = select({ certificates, strictSni: true });
    expect(selector.select("other.test")).toBeUndefined();
    expect(selector.select("main.test")).toBeDefined();
    expect(selector.select("main.test")).not.toBe(selector.defaultContext);
  });

  test("what did not change is taken over from the selector before", () => {
    const before = select({ certificates });
    const changed = certificate("*.main.test");
    const after = select({ certificates: certificates.with(1, changed), previous: before });
    expect(after.select("main.test")).toBe(before.select("main.test"));
    expect(after.select("localhost")).toBe(before.select("localhost"));
    expect(after.select("x.main.test")).not.toBe(before.select("x.main.test"));
    const other = select({
      certificates,
      settings: {
        ...DEFAULT_SERVER_SETTINGS,
        clientAuthentication: { mode: "request", caPem: certificates[0]?.certificatePem as string },
      },
      previous: before,
    });
    expect(other.select("main.test")).not.toBe(before.select("main.test"));
  });

  test("a certificate without names can be the default", () => {
    const nameless = { ...certificate("x.test"), names: [] };
    const selector = select({ certificates: [nameless, certificate("y.test")] });
    expect(selector.select("anything.test")).toBe(selector.defaultContext);
    expect(selector.select("y.test")).not.toBe(selector.defaultContext);
  });
});

test("ciphers that the runtime does not know are told", () => {
  expect(() => checkCiphers(DEFAULT_CIPHERS)).not.toThrow();
  expect(() => checkCiphers([...DEFAULT_CIPHERS, "ECDHE-RSA-AES1280-GCM"])).toThrow(
    "[6]: ECDHE-RSA-AES1280-GCM is not a cipher of TLS 1.2 that is known here; leave `ciphers` out to have the best",
  );
  expect(() => checkCiphers(["ECDHE-RSA-AES128-GMC-SHA256"])).toThrow(
    "[0]: ECDHE-RSA-AES128-GMC-SHA256 is not a cipher of TLS 1.2 that is known here; did you mean ECDHE-RSA-AES128-GCM-SHA256?",
  );
});

test("protocols are written with their lengths", () => {
  expect(encodeProtocols(["h2", "http/1.1"]).toString("latin1")).toBe("\x02h2\x08http/1.1");
});
