import { EvenkeelError } from "../base/errors.ts";
import { at } from "../base/place.ts";
import type { ProbeWay } from "../health/probes/definition.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { EndpointTls } from "../upstreams/endpoint-tls.ts";
import { localHeader } from "../upstreams/proxy-header.ts";

/** How connections of health checks begin, pool by pool: as those of the workers do. */
export class CheckWays {
  /** By pool: how its endpoints are checked over TLS, and what that was made of. */
  readonly #tls = new Map<string, { readonly text: string; readonly tls: EndpointTls }>();

  /** Throws an EvenkeelError that names the file that is wrong; not for one that was right before, as workers tell. */
  of(pool: string, config: PoolConfig): ProbeWay {
    const { proxyProtocol, protocol } = config.connections;
    return {
      preface: proxyProtocol === undefined ? undefined : localHeader(proxyProtocol),
      tls: this.#tlsOf(pool, config),
      http2: protocol === "http2",
    };
  }

  forgetPool(pool: string): void {
    this.#tls.delete(pool);
  }

  #tlsOf(pool: string, { connections, health }: PoolConfig): EndpointTls | undefined {
    const { tls, protocol } = connections;
    if (tls === undefined) return undefined;
    const isHttp2 = protocol === "http2" || (health !== undefined && health !== false && health.type === "grpc");
    const protocols = isHttp2 ? ["h2"] : tls.alpn;
    const text = JSON.stringify([tls, protocols]);
    try {
      const made = at(["pools", pool, "connections", "tls"], () => new EndpointTls(tls, protocols));
      this.#tls.set(pool, { text, tls: made });
    } catch (error) {
      if (!(error instanceof EvenkeelError) || this.#tls.get(pool)?.text !== text) throw error;
    }
    return this.#tls.get(pool)?.tls;
  }
}
