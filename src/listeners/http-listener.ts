/** Accepts connections for one HTTP listener and hands them to http/: to HTTP/2 those that have agreed on it in TLS. */
import type { Socket } from "bun";
import type { SharedCounters } from "../base/shared-counters.ts";
import { ClientConnection, type ListenerState } from "../http/client-connection.ts";
import type { HttpContext } from "../http/context.ts";
import { Http2Connection } from "../http/http2/http2-connection.ts";
import { errorAnswer } from "../http/respond.ts";
import { writeOwnAnswer } from "../http/response-writer.ts";
import type { ListenerSnapshot } from "../http/snapshot.ts";
import { type Connection, closeSocket } from "../transport/connection.ts";
import type { Origin } from "../transport/origin.ts";
import type { ListenerContext } from "./arrivals.ts";
import { type ConnectionLimits, StreamListener } from "./stream-listener.ts";

/** Nothing has been read: the answer that every request would get. */
const BUSY = errorAnswer("E_TOO_MANY_CONNECTIONS", "");

type HttpClient = ClientConnection | Http2Connection;

export class HttpListener extends StreamListener<HttpClient, ListenerSnapshot> implements ListenerState {
  readonly #context: HttpContext;

  constructor(
    descriptor: number,
    settings: ListenerSnapshot,
    limits: ConnectionLimits,
    context: HttpContext & ListenerContext,
    counters: SharedCounters,
  ) {
    super(descriptor, settings, limits, context, counters);
    this.#context = context;
  }

  protected override create(origin: Origin): HttpClient {
    return origin.tls?.protocols[0] === "h2"
      ? new Http2Connection(this.#context, this, origin)
      : new ClientConnection(this.#context, this, origin);
  }

  /** HTTP/1.1 begins with its first byte; HTTP/2 says hello. */
  protected override begin(connection: HttpClient): void {
    if (connection instanceof Http2Connection) connection.begin();
  }

  /** The first bytes were HTTP/2's preface: the client knew beforehand that we speak it (RFC 9113 section 3.3). */
  switchToHttp2(connection: ClientConnection, bytes: Buffer): void {
    const socket = connection.detach();
    if (socket === undefined) return;
    const successor = new Http2Connection(this.#context, this, connection.origin);
    this.replace(connection, successor, socket);
    successor.onData(bytes);
  }

  protected override drainConnection(connection: HttpClient): void {
    connection.drain();
  }

  protected override closeConnection(connection: HttpClient): void {
    connection.closeNow();
  }

  protected override reject(socket: Socket<Connection>): void {
    // Words of HTTP/1.1 mean nothing to a client of HTTP/2.
    if ((socket as { alpnProtocol?: unknown }).alpnProtocol === "h2") {
      closeSocket(socket);
      return;
    }
    const { writer, date } = this.#context;
    writeOwnAnswer(writer, { ...BUSY, withBody: true }, "Connection: close\r\n", date.line());
    socket.write(writer.bytes, 0, writer.length);
    closeSocket(socket);
  }
}
