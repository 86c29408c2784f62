/** gRPC's own client and server (@grpc/grpc-js), each in a process of Node (grpc-peer.mjs). */
import { join } from "node:path";
import { LinePeer } from "./line-peer.ts";

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
  readonly #peer = new LinePeer<GrpcOutcome>([node as string, FILE, "client"], {
    code: -1,
    details: "the client has ended",
    messages: [],
    hashes: [],
    initial: {},
    trailing: {},
  });

  call(target: GrpcTarget, call: GrpcCall): Promise<GrpcOutcome> {
    return this.#peer.ask({ ...target, ...call });
  }

  stop(): Promise<void> {
    return this.#peer.stop();
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
