/** Accepts connections for one HTTP listener and hands them to http/. Limits on their number hold over all workers. */
import type { Socket, SocketHandler, TCPSocketListener } from "bun";
import { type CounterKey, counterKey, type SharedCounters } from "../base/shared-counters.ts";
import { ClientConnection, type ListenerState } from "../http/client-connection.ts";
import type { HttpContext } from "../http/context.ts";
import type { ListenerSnapshot } from "../http/snapshot.ts";
import { LISTENER } from "../observability/metrics-table.ts";
import { type Connection, connectionHandlers } from "../transport/connection.ts";

export interface ConnectionLimits {
  /** Over all workers; likewise the next. */
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
}

const MAX_KEYS = 4_096;
const BUSY_BODY = "503 Service Unavailable: Too many connections are open.\n";
const BUSY = Buffer.from(
  `HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 5\r\nContent-Length: ${BUSY_BODY.length}\r\nConnection: close\r\n\r\n${BUSY_BODY}`,
);

export class HttpListener implements ListenerState {
  settings: ListenerSnapshot;
  readonly #context: HttpContext;
  readonly #counters: SharedCounters;
  readonly #listenerKey: CounterKey;
  readonly #keys = new Map<string, CounterKey>();
  readonly #open = new Map<ClientConnection, Counted>();
  readonly #server: TCPSocketListener<Connection>;
  #limits: ConnectionLimits;
  /** False between prepare and commit: what is accepted meanwhile waits unread. */
  #serving = false;

  /** Accepts on a listening socket that the supervisor has opened. */
  constructor(
    descriptor: number,
    settings: ListenerSnapshot,
    limits: ConnectionLimits,
    context: HttpContext,
    counters: SharedCounters,
  ) {
    this.settings = settings;
    this.#limits = limits;
    this.#context = context;
    this.#counters = counters;
    this.#listenerKey = counterKey(`listener ${settings.name}`);
    const handlers: SocketHandler<Connection> = { ...connectionHandlers, open: (socket) => this.#accept(socket) };
    // The types do not know `fd`, which takes over a listening socket.
    this.#server = Bun.listen<Connection>({ fd: descriptor, allowHalfOpen: true, socket: handlers } as never);
  }

  get openConnections(): number {
    return this.#open.size;
  }

  /** Serves from now on, with these settings. */
  serve(settings: ListenerSnapshot, limits: ConnectionLimits): void {
    this.settings = settings;
    this.#limits = limits;
    if (this.#serving) return;
    this.#serving = true;
    for (const connection of this.#open.keys()) connection.resume();
  }

  /** Asks all clients to close after their answer; goes on accepting. */
  drain(): void {
    for (const connection of [...this.#open.keys()]) connection.drain();
  }

  /** Accepts no more. Connections that are open live on until `closeConnections`. */
  stop(): void {
    this.#server.stop(false);
  }

  closeConnections(): void {
    for (const connection of [...this.#open.keys()]) connection.close();
  }

  connectionClosed(connection: ClientConnection): void {
    const counted = this.#open.get(connection);
    if (counted === undefined) return;
    this.#open.delete(connection);
    if (counted.inListener) this.#counters.subtract(this.#listenerKey);
    if (counted.inClient !== undefined) this.#counters.subtract(counted.inClient);
    this.#context.metrics.add(this.settings.cells + LISTENER.open, -1);
  }

  #accept(socket: Socket<Connection>): void {
    const ip = plainAddress(socket.remoteAddress);
    const counted = this.#count(ip);
    if (counted === undefined) {
      this.#context.metrics.add(this.settings.cells + LISTENER.rejected, 1);
      socket.write(BUSY);
      socket.end();
      return;
    }
    const connection = new ClientConnection(this.#context, this, ip);
    socket.data = connection;
    connection.attach(socket);
    this.#open.set(connection, counted);
    this.#context.sweep.add(connection);
    this.#context.metrics.add(this.settings.cells + LISTENER.connections, 1);
    this.#context.metrics.add(this.settings.cells + LISTENER.open, 1);
    if (!this.#serving) connection.pause();
  }

  /** Clients come back: their keys are kept, in bounded number. */
  #keyOf(ip: string): CounterKey {
    let key = this.#keys.get(ip);
    if (key === undefined) {
      key = counterKey(`client ${this.settings.name} ${ip}`);
      if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
      this.#keys.set(ip, key);
    }
    return key;
  }

  /** Counts the connection in, or undefined when there is no place for it. */
  #count(ip: string): Counted | undefined {
    const inListener = this.#counters.tryAdd(this.#listenerKey, this.#limits.maxConnections);
    if (inListener === "refused") return undefined;
    const clientKey = this.#keyOf(ip);
    const inClient = this.#counters.tryAdd(clientKey, this.#limits.maxConnectionsPerClient);
    if (inClient === "refused") {
      if (inListener === "added") this.#counters.subtract(this.#listenerKey);
      return undefined;
    }
    return { inListener: inListener === "added", inClient: inClient === "added" ? clientKey : undefined };
  }
}

interface Counted {
  readonly inListener: boolean;
  readonly inClient: CounterKey | undefined;
}

/** A socket for both families shows IPv4 clients as `::ffff:1.2.3.4`. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}
