/** Node's own HTTP/1.1 and HTTP/2, on either end of the balancer, each in a process of its own. */
import { join } from "node:path";
import { LinePeer } from "./line-peer.ts";

export const node = Bun.which("node");

export interface HttpAsked {
  /** 1 for HTTP/1.1, 2 for HTTP/2. */
  readonly version: 1 | 2;
  readonly origin: string;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly trailers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** A body of this many bytes instead, all of them 7. */
  readonly bytes?: number;
  /** Without content-length. */
  readonly chunked?: boolean;
  readonly caPath?: string;
  readonly name?: string;
}

export interface HttpOutcome {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  readonly interim: readonly Readonly<Record<string, unknown>>[];
  readonly length: number;
  readonly hash: string;
  /** The beginning of the body. */
  readonly text: string;
  readonly error?: string;
}

export class HttpClient {
  readonly #peer = new LinePeer<HttpOutcome>([node as string, join(import.meta.dir, "http-client.mjs")], {
    error: "the client has ended",
  } as HttpOutcome);

  ask(asked: HttpAsked): Promise<HttpOutcome> {
    return this.#peer.ask(asked);
  }

  stop(): Promise<void> {
    return this.#peer.stop();
  }
}

export interface HttpEndpointOptions {
  readonly name: string;
  readonly version: 1 | 2;
  /** PEM files; without them it is plain. */
  readonly key?: string;
  readonly certificate?: string;
  /** Clients must show a certificate of this authority. */
  readonly ca?: string;
  /** Whether extended CONNECT is announced. */
  readonly tunnels?: boolean;
  /** Streams at a time on one connection. */
  readonly streams?: number;
}

export interface HttpEndpoint {
  readonly port: number;
  readonly address: string;
  kill(): Promise<void>;
}

export async function startHttpEndpoint(options: HttpEndpointOptions): Promise<HttpEndpoint> {
  const child = Bun.spawn([node as string, join(import.meta.dir, "http-endpoint.mjs"), JSON.stringify(options)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  const port = Number(Buffer.from(value ?? []).toString());
  return {
    port,
    address: `127.0.0.1:${port}`,
    kill: async () => {
      child.kill(9);
      await child.exited;
    },
  };
}
