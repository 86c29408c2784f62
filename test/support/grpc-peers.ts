/** gRPC's own client and server (@grpc/grpc-js), each in a process of Node (grpc-peer.mjs). */
import { join } from "node:path";

const FILE = join(import.meta.dir, "grpc-peer.mjs");
export const node = Bun.which("node");

export interface GrpcCall {
  /** Of the service `test.Echo`. */
  readonly method: "Unary" | "Client" | "Server" | "Bidi" | "Fail" | "Hang" | "Seen" | "Nothing";
  readonly messages?: readonly string[];
  /** One message of this many bytes instead. */
  readonly size?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  /** Cancels when this many messages have come. */
  readonly cancelAfter?: number;
  readonly gzip?: boolean;
}

export interface GrpcOutcome {
  readonly code: number;
  readonly details: string;
  /** Text of short ones, length of long ones. */
  readonly messages: readonly string[];
  readonly hashes: readonly string[];
  readonly initial: Readonly<Record<string, readonly string[]>>;
  readonly trailing: Readonly<Record<string, readonly string[]>>;
}

export interface GrpcTarget {
  readonly address: string;
  readonly caPath?: string;
  /** Looked for in the certificate. */
  readonly name?: string;
}

/** Calls by one channel for each address. */
export class GrpcClient {
  readonly #process = Bun.spawn([node as string, FILE, "client"], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  readonly #waiting = new Map<number, (outcome: GrpcOutcome) => void>();
  #next = 0;

  constructor() {
    void this.#read();
  }

  call(target: GrpcTarget, call: GrpcCall): Promise<GrpcOutcome> {
    const id = this.#next++;
    void this.#process.stdin.write(`${JSON.stringify({ id, ...target, ...call })}\n`);
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
        const { id, ...outcome } = JSON.parse(line) as GrpcOutcome & { id: number };
        this.#waiting.get(id)?.(outcome);
        this.#waiting.delete(id);
      }
    }
  }
}

export interface GrpcServer {
  readonly port: number;
  readonly address: string;
  /** Ends it in the middle of whatever it does. */
  kill(): Promise<void>;
}

export async function startGrpcServer(
  name: string,
  tls?: { keyPath: string; certificatePath: string },
): Promise<GrpcServer> {
  const files = tls === undefined ? [] : [tls.keyPath, tls.certificatePath];
  const child = Bun.spawn([node as string, FILE, "server", name, ...files], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
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
