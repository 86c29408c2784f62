/** Node's own HTTP/1.1 and HTTP/2, on either end of the balancer, each in a process of its own. */
import { join } from "node:path";

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
  readonly #process = Bun.spawn([node as string, join(import.meta.dir, "http-client.mjs")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  readonly #waiting = new Map<number, (outcome: HttpOutcome) => void>();
  #next = 0;

  constructor() {
    void this.#read();
  }

  ask(asked: HttpAsked): Promise<HttpOutcome> {
    const id = this.#next++;
    void this.#process.stdin.write(`${JSON.stringify({ id, ...asked })}\n`);
    void this.#process.stdin.flush();
    return new Promise((resolve) => void this.#waiting.set(id, resolve));
  }

  async stop(): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }

  async #read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const piece of this.#process.stdout) {
      rest += decoder.decode(piece, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() as string;
      for (const line of lines) {
        const { id, ...outcome } = JSON.parse(line) as HttpOutcome & { id: number };
        this.#waiting.get(id)?.(outcome);
        this.#waiting.delete(id);
      }
    }
    for (const tell of this.#waiting.values()) tell({ error: "the client has ended" } as HttpOutcome);
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
