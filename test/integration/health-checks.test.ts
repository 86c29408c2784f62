/** Health checks of real endpoints: over TLS, over HTTP/2, and by gRPC's own protocol. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemTimers } from "../../src/base/clock.ts";
import type { ProbeResult } from "../../src/health/probes/definition.ts";
import { probeEndpoint } from "../../src/health/probes/registry.ts";
import { healthSchema } from "../../src/health/schema.ts";
import { endpointTlsSchema } from "../../src/tls/schema.ts";
import { EndpointTls } from "../../src/upstreams/endpoint-tls.ts";
import { startGrpcServer } from "../support/grpc-peers.ts";
import { node, startHttpEndpoint } from "../support/http-peers.ts";
import { createAuthority, hasOpenssl, type TestAuthority } from "../support/openssl.ts";

if (node === null) console.log("skipped: node is not installed");
else if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  let authority: TestAuthority;
  const ports: Record<string, number> = {};
  const stops: (() => Promise<void>)[] = [];
  const context = { timers: systemTimers, path: "" };

  beforeAll(async () => {
    authority = createAuthority();
    const { keyPath, certificatePath } = authority.issue("endpoint", "DNS:app.test");
    const files = { key: keyPath, certificate: certificatePath };
    const start = async (name: string, started: Promise<{ port: number; kill(): Promise<void> }>): Promise<void> => {
      const { port, kill } = await started;
      ports[name] = port;
      stops.push(kill);
    };
    await Promise.all([
      start("h1", startHttpEndpoint({ name: "h1", version: 1 })),
      start("h2", startHttpEndpoint({ name: "h2", version: 2 })),
      start("h1s", startHttpEndpoint({ name: "h1s", version: 1, ...files })),
      start("h2s", startHttpEndpoint({ name: "h2s", version: 2, ...files })),
      start("grpc", startGrpcServer("grpc")),
      start("grpcs", startGrpcServer("grpcs", { keyPath, certificatePath })),
    ]);
  });
  afterAll(async () => {
    for (const stop of stops) await stop();
    authority.remove();
  });

  const check = (
    endpoint: string,
    written: object,
    way: { tls?: object; http2?: boolean } = {},
  ): Promise<ProbeResult> => {
    const config = healthSchema.parse({ timeout: "20s", ...written });
    if (config === false) throw new Error("expected a check");
    const isHttp2 = way.http2 === true || config.type === "grpc";
    const tls =
      way.tls === undefined
        ? undefined
        : new EndpointTls(endpointTlsSchema.parse({ ca: authority.caPath, ...way.tls }), isHttp2 ? ["h2"] : []);
    const target = { pool: "app", host: "127.0.0.1", name: "app.test", port: ports[endpoint] as number };
    return probeEndpoint({ ...target, tls, http2: way.http2 ?? false }, config, context);
  };

  describe("http", () => {
    const json = { version: "2.0", path: "/info?x=1" };
    test("over HTTP/2, and what it says", async () => {
      expect(await check("h2", { path: "/info?x=1", json }, { http2: true })).toBeUndefined();
      expect(await check("h2", { path: "/status?code=503" }, { http2: true })).toBe("status 503");
      expect(await check("h2", { path: "/status?code=503", degradedStatus: 503 }, { http2: true })).toEqual({
        degraded: "degraded: status 503",
      });
      expect(await check("h2", { path: "/early", body: "after hints" }, { http2: true })).toBeUndefined();
      expect(await check("h2", { path: "/early", body: "nothing" }, { http2: true })).toBe(
        'the body does not contain "nothing"',
      );
      expect(await check("h2", { method: "HEAD", path: "/info" }, { http2: true })).toBeUndefined();
    });
    test("over TLS", async () => {
      expect(await check("h1s", { path: "/info", json: { version: "1.1" } }, { tls: {} })).toBeUndefined();
      expect(await check("h2s", { path: "/info?x=1", json }, { tls: {}, http2: true })).toBeUndefined();
    });
    test("endpoints that speak the other version say so", async () => {
      expect(await check("h1", {}, { http2: true })).toBe("the endpoint speaks HTTP/1.1, not HTTP/2");
      expect(await check("h2", {})).toBe(
        "the endpoint speaks HTTP/2, not HTTP/1.1: the pool needs connections: { protocol: http2 }",
      );
    });
  });

  describe("TLS", () => {
    test("a certificate that is not trusted, or for another name", async () => {
      expect(await check("h1s", {}, { tls: { ca: undefined } })).toStartWith("the TLS handshake failed: ");
      expect(await check("h1s", {}, { tls: { serverName: "other.test" } })).toBe(
        "the TLS handshake failed: ERR_TLS_CERT_ALTNAME_INVALID",
      );
      expect(await check("h1s", {}, { tls: { serverName: "other.test", verify: false } })).toBeUndefined();
    });
    test("connecting is not enough: the handshake must be good", async () => {
      expect(await check("h1s", { type: "tcp" }, { tls: {} })).toBeUndefined();
      expect(await check("h1", { type: "tcp" }, { tls: {} })).toStartWith("the TLS handshake failed");
    });
    test("an endpoint that never answers the handshake", async () => {
      const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      ports["silent"] = silent.port;
      expect(await check("silent", { type: "tcp", timeout: "100ms" }, { tls: {} })).toBe(
        "the TLS handshake took too long",
      );
      silent.stop(true);
    });
  });

  describe("grpc", () => {
    for (const [endpoint, way] of [
      ["grpc", {}],
      ["grpcs", { tls: {} }],
    ] as const)
      test(`a server that offers grpc.health.v1.Health${endpoint === "grpcs" ? ", over TLS" : ""}`, async () => {
        expect(await check(endpoint, { type: "grpc" }, way)).toBeUndefined();
        expect(await check(endpoint, { type: "grpc", service: "is-1" }, way)).toBeUndefined();
        expect(await check(endpoint, { type: "grpc", service: "is-2" }, way)).toBe("the endpoint is NOT_SERVING");
        expect(await check(endpoint, { type: "grpc", service: "shop.Cart" }, way)).toBe(
          'the endpoint does not know the service "shop.Cart"',
        );
      });
    test("servers that do not offer it", async () => {
      expect(await check("h2", { type: "grpc" })).toBe("the answer has no grpc-status");
      expect(await check("h1", { type: "grpc" })).toBe("the endpoint speaks HTTP/1.1, not HTTP/2");
    });
  });
}
