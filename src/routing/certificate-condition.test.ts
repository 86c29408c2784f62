import { describe, expect, test } from "bun:test";
import type { PeerCertificate } from "../transport/origin.ts";
import { compileMatch } from "./conditions.ts";
import type { RequestView } from "./request-view.ts";
import { matchSchema } from "./schema.ts";

const FINGERPRINT = "0a".repeat(32);
const certificate: PeerCertificate = {
  verified: true,
  failure: "",
  subject: "CN=app,O=Example",
  alternativeNames: [
    { kind: "DNS", value: "App.Internal.test" },
    { kind: "URI", value: "spiffe://test/app" },
    { kind: "email", value: "app@example.com" },
    { kind: "IP Address", value: "0:0:0:0:0:0:0:1" },
  ],
  fingerprint256: FINGERPRINT,
};

function request(shown: PeerCertificate | undefined, withTls = true): RequestView {
  const tls = { serverName: "", protocols: [], version: "TLSv1.3", clientCertificate: shown };
  const none = (): undefined => undefined;
  return {
    tls: withTls ? tls : undefined,
    method: "GET",
    scheme: "https",
    host: "",
    path: "/",
    query: "",
    clientIp: "192.0.2.1",
    header: none,
    cookie: none,
    queryParameter: none,
  };
}

function matches(clientCertificate: object, shown: PeerCertificate | undefined = certificate): boolean {
  return compileMatch(matchSchema.parse({ clientCertificate }))(request(shown), "/");
}

describe("what a route asks of a client certificate", () => {
  const cases: readonly [string, object, boolean][] = [
    ["any verified one", {}, true],
    ["the whole subject", { subject: "CN=app,O=Example" }, true],
    ["part of the subject is not enough", { subject: "CN=app" }, false],
    ["an expression", { subject: { regex: "^CN=app,?" } }, true],
    ["another subject", { subject: { regex: "^CN=other" } }, false],
    ["a DNS name, whatever the letters' case", { name: "app.internal.test" }, true],
    ["a DNS name with a wildcard", { name: "*.internal.TEST" }, true],
    ["the wildcard's parent", { name: "*.app.internal.test" }, false],
    ["a URI", { name: "spiffe://test/app" }, true],
    ["an email address", { name: ["other@example.com", "app@example.com"] }, true],
    ["an address, however it is written", { name: "::1" }, true],
    ["another address", { name: "::2" }, false],
    ["a fingerprint with colons", { fingerprint: FINGERPRINT.match(/../g)?.join(":").toUpperCase() }, true],
    ["another fingerprint", { fingerprint: "0b".repeat(32) }, false],
    ["all that is asked for", { subject: "CN=app,O=Example", name: "other.test" }, false],
    ["none that is verified", { verified: false }, false],
  ];
  for (const [what, match, expected] of cases) test(what, () => expect(matches(match)).toBe(expected));

  test("a name of another kind does not do", () => {
    const tricky = { ...certificate, alternativeNames: [{ kind: "email", value: "app.internal.test" }] };
    expect(matches({ name: "app.internal.test" }, tricky)).toBe(false);
  });

  test("what is not verified is not believed, only told apart", () => {
    const unverified = { ...certificate, verified: false, failure: "CERT_REVOKED" };
    expect(matches({}, unverified)).toBe(false);
    expect(matches({ subject: "CN=app,O=Example" }, unverified)).toBe(false);
    expect(matches({ verified: false }, unverified)).toBe(true);
    const none = matchSchema.parse({ clientCertificate: { verified: false } });
    expect(compileMatch(none)(request(undefined), "/")).toBe(true);
    expect(compileMatch(none)(request(undefined, false), "/")).toBe(true);
    expect(compileMatch(matchSchema.parse({ clientCertificate: {} }))(request(undefined), "/")).toBe(false);
  });

  test("`verified: false` stands alone, and a fingerprint is one", () => {
    const refused = [{ verified: false, subject: "CN=app" }, { fingerprint: "abc" }, { name: [] }];
    for (const clientCertificate of refused) expect(matchSchema.safeParse({ clientCertificate }).success).toBe(false);
  });
});
