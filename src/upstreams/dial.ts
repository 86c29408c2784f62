/** Makes connections to endpoints, plain or with TLS, and tells them how it went. */
import type { Socket } from "bun";
import type { ErrorCode } from "../base/errors.ts";
import { endpointHandshakeFailure } from "../tls/secure-context.ts";
import { Connection, connectionHandlers } from "../transport/connection.ts";
import type { EndpointTls } from "./endpoint-tls.ts";

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** What the endpoint's address says, before it is resolved: its name in TLS. */
  readonly name: string;
  readonly tls: EndpointTls | undefined;
}

/** A connection that is being made. One of the two is called, once. */
export abstract class DialedConnection extends Connection {
  /** It is open, the TLS handshake included. `protocol` is what was agreed on by ALPN; "" for nothing. */
  abstract opened(protocol: string): void;
  abstract failConnecting(code: ErrorCode): void;
}

/** Begins a connection; the deadline of `connection` bounds how long it takes. */
export function dial(connection: DialedConnection, { host, port, name, tls }: DialTarget): void {
  const plain = { hostname: host, port, allowHalfOpen: true, data: connection as Connection };
  const connecting =
    tls === undefined
      ? Bun.connect<Connection>({ ...plain, socket: plainHandlers })
      : Bun.connect<Connection>({ ...plain, tls: tls.optionsFor(name), socket: tlsHandlers(tls, name, port) } as never);
  connecting.catch(() => connection.failConnecting("E_CONNECT_FAILED"));
}

function connectError(socket: Socket<Connection>): void {
  (socket.data as DialedConnection).failConnecting("E_CONNECT_FAILED");
}

const plainHandlers = {
  ...connectionHandlers,
  open(socket: Socket<Connection>) {
    const connection = socket.data as DialedConnection;
    connection.attach(socket);
    connection.opened("");
  },
  connectError,
};

/** What of a TLS socket is used here; the runtime's own type does not know all of it. */
interface TlsSocket extends Socket<Connection> {
  readonly alpnProtocol: string | false | null;
  setSession(session: Uint8Array): void;
}

/** One set of handlers for each endpoint of a pool would do; they are few and small, and made with each connection. */
function tlsHandlers(tls: EndpointTls, name: string, port: number): object {
  const key = `${name}:${port}`;
  let shaken = false;
  return {
    ...connectionHandlers,
    open(socket: TlsSocket) {
      const session = tls.sessions.take(key);
      if (session !== undefined) socket.setSession(session);
      (socket.data as DialedConnection).attach(socket);
    },
    handshake(socket: TlsSocket, ok: boolean, error: { code?: string } | null) {
      const connection = socket.data as DialedConnection;
      shaken = true;
      if (endpointHandshakeFailure(ok, error, tls.verify) === undefined) {
        connection.opened(typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "");
        return;
      }
      connection.failConnecting("E_ENDPOINT_TLS");
      connection.abort();
    },
    close(socket: TlsSocket, error?: Error) {
      // After a reset in the middle of the handshake nothing else tells of it.
      if (!shaken) (socket.data as DialedConnection).failConnecting("E_ENDPOINT_TLS");
      connectionHandlers.close(socket, error);
    },
    session: (_socket: TlsSocket, session: Uint8Array) => tls.sessions.keep(key, session),
    connectError,
  };
}
