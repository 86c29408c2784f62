/** Accepts connections for one TCP listener and hands them to tcp/. */
import type { Socket } from "bun";
import type { SharedCounters } from "../base/shared-counters.ts";
import type { TcpContext } from "../tcp/context.ts";
import type { TcpSnapshot } from "../tcp/snapshot.ts";
import { TcpConnection, type TcpListenerState } from "../tcp/tcp-connection.ts";
import type { Connection } from "../transport/connection.ts";
import type { Origin } from "../transport/origin.ts";
import type { ListenerContext } from "./arrivals.ts";
import { type ConnectionLimits, StreamListener } from "./stream-listener.ts";

export class TcpListener extends StreamListener<TcpConnection, TcpSnapshot> implements TcpListenerState {
  readonly #context: TcpContext;

  constructor(
    descriptor: number,
    settings: TcpSnapshot,
    limits: ConnectionLimits,
    context: TcpContext & ListenerContext,
    counters: SharedCounters,
  ) {
    super(descriptor, settings, limits, context, counters);
    this.#context = context;
  }

  protected override create(origin: Origin): TcpConnection {
    return new TcpConnection(this.#context, this, origin);
  }

  protected override begin(connection: TcpConnection): void {
    connection.begin();
  }

  /** Nothing between the two sides tells when they are done: they go on until the drain timeout. */
  protected override drainConnection(): void {}

  protected override reject(socket: Socket<Connection>): void {
    socket.terminate();
  }
}
