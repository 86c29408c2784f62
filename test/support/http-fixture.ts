/** What tests of HTTP towards endpoints share: a certificate, a client, endpoints of Node and balancers, ended after each test. */
import { afterAll, afterEach, beforeAll } from "bun:test";
import { type Balancer, startBalancer } from "./balancer.ts";
import { HttpClient, type HttpEndpoint, type HttpEndpointOptions, startHttpEndpoint } from "./http-peers.ts";
import { createAuthority, type IssuedPair, type TestAuthority } from "./openssl.ts";

export class HttpFixture {
  authority = undefined as unknown as TestAuthority;
  /** For `app.test` and 127.0.0.1. */
  pair = undefined as unknown as IssuedPair;
  client = undefined as unknown as HttpClient;
  /** Called after the test, the last first. */
  readonly stops: (() => unknown)[] = [];

  /** To be made while a test file is loaded. */
  constructor() {
    beforeAll(() => {
      this.authority = createAuthority();
      this.pair = this.authority.issue("app", "DNS:app.test,IP:127.0.0.1");
      this.client = new HttpClient();
    });
    afterAll(async () => {
      await this.client.stop();
      this.authority.remove();
    });
    afterEach(async () => {
      for (const stop of this.stops.splice(0).reverse()) await stop();
    });
  }

  async endpoint(options: HttpEndpointOptions): Promise<HttpEndpoint> {
    const started = await startHttpEndpoint(options);
    this.stops.push(() => started.kill());
    return started;
  }

  /** Serves `pool` on one listener, with TLS when `tls` is set. */
  balancer(pool: object, options: { tls?: boolean; listener?: object } = {}): Balancer {
    const tls = { certificates: [{ certificate: this.pair.certificatePath, key: this.pair.keyPath }] };
    const started = startBalancer({
      listeners: { web: { address: ":80", pool: "app", ...(options.tls === true && { tls }), ...options.listener } },
      pools: { app: { balance: "round-robin", ...pool } },
    } as never);
    this.stops.push(() => started.stop());
    return started;
  }
}

/** As an endpoint of Node is told of a certificate. */
export function filesOf(issued: IssuedPair): { key: string; certificate: string } {
  return { key: issued.keyPath, certificate: issued.certificatePath };
}

export async function until(check: () => boolean, what: string): Promise<void> {
  for (let look = 0; look < 400; look++) {
    if (check()) return;
    await Bun.sleep(25);
  }
  throw new Error(`never happened: ${what}`);
}
