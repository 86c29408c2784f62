import { afterAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasOpenssl, openssl } from "../../test/support/openssl.ts";
import { integer, objectIdentifier, octetString, sequence, time, toPem } from "./der.ts";
import { createSelfSigned } from "./self-signed.ts";
import { buildSigningRequest, generateKey } from "./x509.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("DER", () => {
  test("integers stay positive and short", () => {
    expect(hex(integer(Uint8Array.of()))).toBe("020100");
    expect(hex(integer(Uint8Array.of(0, 0, 1)))).toBe("020101");
    expect(hex(integer(Uint8Array.of(0x80)))).toBe("02020080");
  });

  test("object identifiers", () => {
    expect(hex(objectIdentifier("1.2.840.113549"))).toBe("06062a864886f70d");
    expect(hex(objectIdentifier("2.5.29.17"))).toBe("0603551d11");
  });

  test("lengths in one, two and three bytes", () => {
    const heads = [127, 128, 255, 256, 65_536].map((length) => hex(octetString(new Uint8Array(length)).slice(0, 5)));
    expect(heads).toEqual(["047f000000", "0481800000", "0481ff0000", "0482010000", "0483010000"]);
    expect(hex(sequence())).toBe("3000");
  });

  test("times before and after 2050", () => {
    const text = (ms: number): string => Buffer.from(time(ms)).subarray(2).toString();
    expect(text(Date.UTC(2049, 11, 31, 23, 59, 59, 999))).toBe("491231235959Z");
    expect(text(Date.UTC(2050, 0, 1))).toBe("20500101000000Z");
  });
});

test("every certificate has its own key and serial number, and all the names", () => {
  const names = ["localhost", "*.dev.test", "127.0.0.1", "::1"];
  const [one, other] = [0, 1].map(
    () => new X509Certificate(createSelfSigned(names, Date.UTC(2026, 0, 1)).certificatePem),
  );
  expect(one?.serialNumber).not.toBe(other?.serialNumber as string);
  expect(one?.verify(one.publicKey)).toBe(true);
  expect(one?.verify((other as X509Certificate).publicKey)).toBe(false);
  expect(one?.checkHost("x.dev.test")).toBeDefined();
  expect(one?.checkIP("::1")).toBeDefined();
  expect(one?.ca).toBe(false);
  expect(new X509Certificate(createSelfSigned([], 0).certificatePem).checkHost("localhost")).toBeDefined();
});

if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  describe("as openssl and curl see it", () => {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-self-"));
    const path = join(folder, "cert.pem");
    const nowMs = Date.now();
    const pair = createSelfSigned(["localhost", "*.dev.test", "127.0.0.1", "::1"], nowMs);
    writeFileSync(path, pair.certificatePem);
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    test("openssl verifies it and shows what was meant", () => {
      expect(openssl(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", path, path])).toContain("OK");
      const text = openssl(["x509", "-in", path, "-noout", "-text"]);
      for (const part of [
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Subject: CN = localhost",
        "NIST CURVE: P-256",
        "CA:FALSE",
        "Digital Signature",
        "TLS Web Server Authentication",
        "DNS:localhost, DNS:*.dev.test, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
      ])
        expect(text).toContain(part);
      expect(openssl(["x509", "-in", path, "-noout", "-checkend", String(89 * 86_400)])).toContain("will not expire");
    });

    test("a signing request is one that openssl verifies", () => {
      const request = join(folder, "request.pem");
      const names = Array.from({ length: 40 }, (_, index) => `name-${index}.example.test`);
      writeFileSync(request, toPem("CERTIFICATE REQUEST", buildSigningRequest({ names, key: generateKey() })));
      const text = openssl(["req", "-in", request, "-noout", "-text", "-verify"]);
      for (const name of names) expect(text).toContain(`DNS:${name}`);
    });

    test("curl trusts a server that shows it", async () => {
      const { certificatePem: cert, keyPem: key } = pair;
      const server = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        tls: { cert, key },
        fetch: () => new Response("hello"),
      });
      for (const host of ["127.0.0.1", "localhost", "x.dev.test"]) {
        const address = ["--resolve", `${host}:${server.port}:127.0.0.1`, `https://${host}:${server.port}/`];
        const curl = Bun.spawn(["curl", "-s", "--noproxy", "*", "--cacert", path, ...address], { stdout: "pipe" });
        expect(`${host} ${await new Response(curl.stdout).text()} ${await curl.exited}`).toBe(`${host} hello 0`);
      }
      await server.stop(true);
    });
  });
}
