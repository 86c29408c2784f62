/** Accepts connections for one HTTP listener and hands them to http/. */
import type { Socket } from "bun";
import type { SharedCounters } from "../base/shared-counters.ts";
import { ClientConnection, type ListenerState } from "../http/client-connection.ts";
import type { HttpContext } from "../http/context.ts";
import { errorAnswer } from "../http/respond.ts";
import { writeOwnAnswer } from "../http/response-writer.ts";
import type { ListenerSnapshot } from "../http/snapshot.ts";
import type { Connection } from "../transport/connection.ts";
import type { Origin } from "../transport/origin.ts";
import { type ConnectionLimits, StreamListener } from "./stream-listener.ts";

/** Nothing has been read: the answer that every request would get. */
const BUSY = errorAnswer("E_TOO_MANY_CONNECTIONS", "");

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
    const { writer, date } = this.#context;
    writeOwnAnswer(writer, { ...BUSY, withBody: true }, "Connection: close\r\n", date.line());
    socket.write(writer.bytes, 0, writer.length);
    socket.end();
  }
}
