/** What a TLS socket tells once its handshake is over. The runtime's own type does not know all of it. */

import { dlopen, ptr } from "bun:ffi";
import type { Socket } from "bun";
import { type AuthenticatedSocket, clientCertificateOf } from "../tls/client-certificate.ts";
import type { Connection } from "../transport/connection.ts";
import type { TlsView } from "../transport/origin.ts";

interface HandshakenSocket extends AuthenticatedSocket {
  readonly alpnProtocol: string | false | null;
  readonly fd: number;
  getServername(): string | undefined;
  getTLSVersion(): string;
  isSessionReused(): boolean;
}

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

const libc = dlopen("libc.so.6", {
  send: { args: ["i32", "ptr", "usize", "i32"], returns: "i64" },
}).symbols;

export function tlsViewOf(socket: Socket<Connection>, asksForCertificate: boolean): TlsView {
  const handshaken = socket as unknown as HandshakenSocket;
  const protocol = handshaken.alpnProtocol;
  return {
    serverName: (handshaken.getServername() ?? "").toLowerCase(),
    protocols: typeof protocol === "string" ? [protocol] : [],
    version: handshaken.getTLSVersion(),
    clientCertificate: asksForCertificate ? clientCertificateOf(handshaken) : undefined,
  };
}

/** Whether the client has come back with a session from before, and was spared most of the handshake. */
export function wasResumed(socket: Socket<Connection>): boolean {
  return (socket as unknown as HandshakenSocket).isSessionReused();
}

/**
 * Begins TLS, as the server, on a socket that was accepted plain and of which nothing has been read. Returns the socket to
 * go on with, with `connection` as its data; the plain one goes on telling its handlers of the ciphertext, for nobody.
 */
export function beginTls(
  socket: Socket<Connection>,
  connection: Connection,
  { tls, handlers }: { readonly tls: object; readonly handlers: object },
): Socket<Connection> {
  const options = { data: connection, tls: { ...tls, isServer: true }, socket: handlers };
  const [, encrypted] = socket.upgradeTLS(options as never) as unknown as [unknown, Socket<Connection>];
  socket.data = undefined as never;
  return encrypted;
}

const BODY = "400 Bad Request: this port speaks HTTPS; use https:// in the address.\n";
const PLAIN_ANSWER = Buffer.from(
  `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n${BODY}`,
);

/**
 * Tells a client that has sent plain HTTP what is wrong. TLS has sent nothing yet, so the answer goes out in the clear,
 * past the runtime, which would close without a word.
 */
export function answerPlainHttp(socket: Socket<Connection>): void {
  const { fd } = socket as unknown as HandshakenSocket;
  libc.send(fd, ptr(PLAIN_ANSWER), PLAIN_ANSWER.length, MSG_DONTWAIT | MSG_NOSIGNAL);
}
