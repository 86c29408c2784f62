import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { isHostName, normalizeHostName, parseAlternativeNames, serverNames } from "./subject-names.ts";
import { buildSelfSigned, generateKey } from "./x509.ts";

test("a name with a comma in it is one name, not two", () => {
  const certificate = buildSelfSigned({
    names: ["good.test, DNS:evil.test", 'q".test'],
    key: generateKey(),
    notBeforeMs: 0,
    notAfterMs: 1,
  });
  const names = parseAlternativeNames(new X509Certificate(certificate).subjectAltName);
  expect(names).toEqual([
    { kind: "DNS", value: "good.test, DNS:evil.test" },
    { kind: "DNS", value: 'q".test' },
  ]);
  expect(serverNames(names)).toEqual([]);
});

test("kinds and forms", () => {
  expect(parseAlternativeNames(undefined)).toEqual([]);
  expect(parseAlternativeNames('DNS:A.test, IP Address:0:0:0:0:0:0:0:1, URI:"http://x/,y", email:e@x.test')).toEqual([
    { kind: "DNS", value: "A.test" },
    { kind: "IP Address", value: "0:0:0:0:0:0:0:1" },
    { kind: "URI", value: "http://x/,y" },
    { kind: "email", value: "e@x.test" },
  ]);
  const ips = ["0:0:0:0:0:0:0:1", "2001:db8:0:0:1:0:0:0", "10.0.0.1", "1:2:3:4:5:6:7:8", "0:0:0:0:0:0:0:0"];
  expect(serverNames(ips.map((value) => ({ kind: "IP Address", value })))).toEqual([
    "::1",
    "2001:db8:0:0:1::",
    "10.0.0.1",
    "1:2:3:4:5:6:7:8",
    "::",
  ]);
});

test("host names", () => {
  for (const name of ["a", "a.test", "*.a.test", "xn--bcher-kva.test", "_dmarc.a.test"])
    expect(isHostName(name)).toBe(true);
  for (const name of [
    "",
    ".",
    "a..b",
    "*",
    "a.*.test",
    "*a.test",
    "A.test",
    "-a.test",
    "a-.test",
    "a b",
    `${"a".repeat(64)}.test`,
  ])
    expect(isHostName(name)).toBe(false);
  expect(isHostName(`${"a.".repeat(127)}a`)).toBe(false);
  expect(normalizeHostName("WWW.Example.COM.")).toBe("www.example.com");
});
