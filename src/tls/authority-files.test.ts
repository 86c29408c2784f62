import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, hasOpenssl } from "../../test/support/openssl.ts";
import { readAuthorities, readRevocationLists } from "./authority-files.ts";
import { createSelfSigned } from "./self-signed.ts";

const folder = mkdtempSync(join(tmpdir(), "evenkeel-authorities-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe("files of authorities", () => {
  const own = createSelfSigned(["ca.test"], Date.now());
  const good = file("good.pem", own.certificatePem);

  test("are one text", () => {
    expect(readAuthorities([good, good])).toBe(`${own.certificatePem}\n${own.certificatePem}`);
  });

  test("must have a certificate, or somebody else would be trusted", () => {
    const empty = file("empty.pem", "");
    expect(() => readAuthorities([empty])).toThrow(`${empty}: no certificate in it; it is empty`);
    const key = file("key.pem", own.keyPem);
    expect(() => readAuthorities([good, key])).toThrow(`[1]: ${key}: no certificate in it; it has PRIVATE KEY`);
    const damaged = file("damaged.pem", own.certificatePem.replace(/\n[^-\n]{10}/, "\nAAAAAAAAAA"));
    expect(() => readAuthorities([damaged])).toThrow(`${damaged}: certificate 1 of 1 is damaged`);
    const none = join(folder, "none.pem");
    expect(() => readAuthorities([none])).toThrow(`${none}: no such file`);
  });

  test("are not revocation lists", () => {
    expect(() => readRevocationLists([good])).toThrow(`${good}: no revocation list in it; it has CERTIFICATE`);
    const damaged = file("damaged.crl", own.certificatePem.replaceAll("CERTIFICATE", "X509 CRL"));
    expect(() => readRevocationLists([damaged])).toThrow(`${damaged}: the revocation list is damaged`);
  });
});

if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else
  test("revocation lists made by openssl", () => {
    const authority = createAuthority();
    try {
      const crlPem = authority.revoke();
      expect(readRevocationLists([file("good.crl", crlPem)])).toBe(crlPem);
    } finally {
      authority.remove();
    }
  });
