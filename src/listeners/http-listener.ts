/** Accepts connections for one HTTP listener and hands them to http/. */
import type { Socket } from "bun";
import type { SharedCounters } from "../base/shared-counters.ts";
import { ClientConnection, type ListenerState } from "../http/client-connection.ts";
import type { HttpContext } from "../http/context.ts";
import type { ListenerSnapshot } from "../http/snapshot.ts";
import type { Connection } from "../transport/connection.ts";
import type { Origin } from "../transport/origin.ts";
import { type ConnectionLimits, StreamListener } from "./stream-listener.ts";

const BUSY_BODY = "503 Service Unavailable: Too many connections are open.\n";
const BUSY = Buffer.from(
  `HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 5\r\nContent-Length: ${BUSY_BODY.length}\r\nConnection: close\r\n\r\n${BUSY_BODY}`,
);

export class HttpListener extends StreamListener<ClientConnection, ListenerSnapshot> implements ListenerState {
  readonly #context: HttpContext;

  constructor(
    descriptor: number,
    settings: ListenerSnapshot,
    limits: ConnectionLimits,
    context: HttpContext,
    counters: SharedCounters,
  ) {
    super(descriptor, settings, limits, context, counters);
    this.#context = context;
  }

  protected override create(origin: Origin): ClientConnection {
    return new ClientConnection(this.#context, this, origin);
  }

  /** It begins with its first byte. */
  protected override begin(): void {}

  protected override drainConnection(connection: ClientConnection): void {
    connection.drain();
  }

  protected override reject(socket: Socket<Connection>): void {
    socket.write(BUSY);
    socket.end();
  }
}
