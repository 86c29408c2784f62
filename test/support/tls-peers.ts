/** Both ends of TLS connections for tests: a server on the runtime's sockets, openssl and the runtime as clients. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Certificate } from "../../src/tls/certificate.ts";
import { CertificateSelector } from "../../src/tls/certificate-selector.ts";
import {
  type AuthenticatedSocket,
  type ClientCertificate,
  clientCertificateOf,
} from "../../src/tls/client-certificate.ts";
import type { ClientSessions } from "../../src/tls/client-sessions.ts";
import {
  type ClientTlsSettings,
  clientTlsOptions,
  createClientContext,
  DEFAULT_SERVER_SETTINGS,
  endpointHandshakeFailure,
  type ServerTlsSettings,
  serverTlsOptions,
} from "../../src/tls/secure-context.ts";
import type { PemPair } from "../../src/tls/self-signed.ts";
import { serverNameHandler } from "../../src/tls/server-name.ts";
import type { IssuedPair } from "./openssl.ts";

interface Handshake {
  readonly ok: boolean;
  readonly serverName: string | undefined;
  readonly protocol: string | false;
  readonly reused: boolean;
  readonly client: ClientCertificate | undefined;
}

export interface TlsServer {
  readonly port: number;
  readonly handshakes: Handshake[];
  /** Pieces of data that got through to the application. */
  received: number;
  selector: CertificateSelector;
  stop(): void;
}

export interface ServerOptions {
  readonly strictSni?: boolean;
  readonly settings?: Partial<ServerTlsSettings>;
  /** Accept plain, and begin TLS on the accepted socket. */
  readonly upgrade?: boolean;
}

/** What of a socket is used here; the runtime's own type does not know all of it. */
export interface TestSocket extends AuthenticatedSocket {
  readonly alpnProtocol: string | false;
  getServername(): string | undefined;
  isSessionReused(): boolean;
  write(text: string): number;
  end(): void;
  terminate(): void;
}

export function newSelector(
  certificates: readonly Certificate[],
  { strictSni = false, settings = {} }: ServerOptions,
  previous?: CertificateSelector,
): CertificateSelector {
  return new CertificateSelector({
    certificates,
    settings: { ...DEFAULT_SERVER_SETTINGS, ...settings },
    strictSni,
    previous,
  });
}

export function startServer(certificates: readonly Certificate[], options: ServerOptions): TlsServer {
  const selector = newSelector(certificates, options);
  const settings = { ...DEFAULT_SERVER_SETTINGS, ...options.settings };
  const tls = serverTlsOptions(selector.defaultContext, settings, ["h2", "http/1.1"]);
  const server: TlsServer = { port: 0, handshakes: [], received: 0, selector, stop: () => listener.stop(true) };
  const socket = {
    open() {},
    serverName: serverNameHandler(() => server.selector),
    handshake(connection: TestSocket, ok: boolean) {
      server.handshakes.push({
        ok,
        serverName: connection.getServername(),
        protocol: connection.alpnProtocol,
        reused: connection.isSessionReused(),
        client: clientCertificateOf(connection),
      });
    },
    data(connection: TestSocket) {
      server.received++;
      connection.write("ok\n");
    },
    close() {},
    error() {},
  };
  const plain = {
    open(connection: { upgradeTLS(options: object): unknown }) {
      connection.upgradeTLS({ data: undefined, tls: { ...tls, isServer: true }, socket });
    },
    data() {},
    close() {},
    error() {},
  };
  const mode = options.upgrade === true ? { socket: plain } : { tls, socket };
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, ...mode } as never);
  return Object.assign(server, { port: listener.port });
}

interface Seen {
  /** Common name of the server's certificate. */
  readonly subject: string;
  readonly version: string;
  readonly protocol: string;
  readonly reused: boolean;
  /** Number of the alert that ended it, or 0. */
  readonly alert: number;
  readonly answered: boolean;
}

/** One connection by openssl: sends a line, and ends at the answer or when the server closes. */
export async function connect(port: number, args: readonly string[]): Promise<Seen> {
  const client = Bun.spawn(["openssl", "s_client", "-connect", `127.0.0.1:${port}`, "-ign_eof", ...args], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  void client.stdin.write("hello\n");
  void client.stdin.flush();
  const errors = new Response(client.stderr).text();
  const limit = setTimeout(() => client.kill(), 10_000);
  let output = "";
  for await (const piece of client.stdout) {
    output += Buffer.from(piece).toString();
    if (/^ok$/m.test(output)) break;
  }
  client.kill();
  clearTimeout(limit);
  const complaints = await errors;
  await client.exited;
  const [, state = "", version = ""] = /^(New|Reused), (TLSv[0-9.]+)/m.exec(output) ?? [];
  return {
    subject: /^subject=.*CN = (.*)$/m.exec(output)?.[1] ?? "",
    version,
    protocol: /^ALPN protocol: (.*)$/m.exec(output)?.[1] ?? "",
    reused: state === "Reused",
    alert: Number(/SSL alert number (\d+)/.exec(complaints)?.[1] ?? 0),
    answered: /^ok$/m.test(output),
  };
}

interface Dialled {
  /** Empty when the handshake was good. */
  readonly failure: string;
  ask(): Promise<string>;
  close(): void;
}

export function dial(port: number, settings: ClientTlsSettings, sessions?: ClientSessions): Promise<Dialled> {
  const tls = clientTlsOptions(createClientContext(settings), settings, "127.0.0.1");
  return new Promise((resolve, reject) => {
    let onData: (text: string) => void = () => {};
    const socket = {
      open(connection: { setSession(session: Uint8Array): void }) {
        const session = sessions?.take("endpoint");
        if (session !== undefined) connection.setSession(session);
      },
      session(_connection: unknown, session: Uint8Array) {
        sessions?.keep("endpoint", session);
      },
      handshake(connection: TestSocket, ok: boolean, error: { code?: string } | null) {
        resolve({
          failure: endpointHandshakeFailure(ok, error, settings.verify) ?? "",
          ask: () =>
            new Promise((answer) => {
              onData = answer;
              connection.write("hello\n");
            }),
          close: () => connection.terminate(),
        });
      },
      data: (_connection: unknown, bytes: Uint8Array) => onData(Buffer.from(bytes).toString()),
      close: () => onData("closed"),
      error() {},
      connectError: (_connection: unknown, error: Error) => reject(error),
    };
    Bun.connect({ hostname: "127.0.0.1", port, tls, socket } as never).catch(reject);
  });
}

export function writePair(pair: PemPair, folder: string): IssuedPair {
  const [certificatePath, keyPath] = [join(folder, "stranger.pem"), join(folder, "stranger.key")];
  writeFileSync(certificatePath, pair.certificatePem);
  writeFileSync(keyPath, pair.keyPem);
  return { ...pair, certificatePath, keyPath };
}

/** With TLS 1.3 openssl's own client leaves an answer unread that comes in one segment with the tickets. */
export function shown({ certificatePath, keyPath }: IssuedPair): string[] {
  return ["-tls1_2", "-cert", certificatePath, "-key", keyPath];
}
