import { describe, expect, test } from "bun:test";
import type { TlsView } from "../transport/origin.ts";
import type { FilterContext } from "./definition.ts";
import { compileTemplate } from "./template.ts";

function context(tls: TlsView | undefined): FilterContext {
  return {
    method: "GET",
    host: "a.test",
    path: "/",
    query: "",
    clientIp: "192.0.2.1",
    tls,
    requestId: "id-1",
    route: "api",
    endpoint: "",
    header: () => undefined,
  };
}

function view(verified: boolean, serverName = "a.test"): TlsView {
  return {
    serverName,
    protocols: ["h2"],
    version: "TLSv1.3",
    clientCertificate: {
      verified,
      failure: verified ? "" : "CERT_REVOKED",
      subject: "CN=app\\, one,O=Example",
      alternativeNames: [
        { kind: "DNS", value: "app.test" },
        { kind: "URI", value: "spiffe://test/a,b\r\nX-Evil: 1" },
        { kind: "IP Address", value: "10.0.0.1" },
      ],
      fingerprint256: "ab".repeat(32),
    },
  };
}

const EVERYTHING =
  "{tls.version} {tls.serverName} {client.verified} [{client.subject}] [{client.fingerprint}] [{client.names}]";

describe("what a handshake told, in headers", () => {
  const write = compileTemplate(EVERYTHING, "response");

  test("a verified certificate, made safe for a header", () => {
    expect(write(context(view(true)))).toBe(
      `TLSv1.3 a.test true [CN=app\\, one,O=Example] [${"ab".repeat(32)}] ` +
        "[DNS:app.test,URI:spiffe://test/a%2Cb%0D%0AX-Evil: 1,IP:10.0.0.1]",
    );
  });

  test("nothing of a certificate that was not verified", () => {
    expect(write(context(view(false)))).toBe("TLSv1.3 a.test false [] [] []");
  });

  test("nothing without TLS", () => expect(write(context(undefined))).toBe("  false [] [] []"));

  test("a name with line breaks in it", () => {
    expect(compileTemplate("{tls.serverName}", "response")(context(view(true, "a\r\nb\u00e9")))).toBe("a%0D%0Ab%C3%A9");
  });
});
