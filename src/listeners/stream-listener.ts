/** What TCP and HTTP listeners share: accepting, and limits on the number of connections that hold over all workers. */
import type { Socket, TCPSocketListener } from "bun";
import { type CounterKey, counterKey, type SharedCounters } from "../base/shared-counters.ts";
import { LISTENER } from "../observability/metrics-table.ts";
import { listensAlike } from "../tls/listener-tls.ts";
import type { Connection } from "../transport/connection.ts";
import { closeDescriptor } from "../transport/listening-socket.ts";
import type { Origin } from "../transport/origin.ts";
import { type ArrivalOwner, type ArrivalSettings, Arrivals, type ListenerContext } from "./arrivals.ts";

export interface ConnectionLimits {
  /** Over all workers; likewise the next. */
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
}

interface Counted {
  readonly inListener: boolean;
  readonly inClient: CounterKey | undefined;
}

const MAX_KEYS = 4_096;

export abstract class StreamListener<Accepted extends Connection, Snapshot extends ArrivalSettings>
  implements ArrivalOwner
{
  settings: Snapshot;
  readonly #context: ListenerContext;
  readonly #counters: SharedCounters;
  readonly #listenerKey: CounterKey;
  readonly #keys = new Map<string, CounterKey>();
  readonly #open = new Map<Accepted, Counted>();
  /** Accepted, but still showing who they are. */
  readonly #arrivals: Arrivals;
  /** Kept beside the one that accepts, so that accepting can begin anew with other certificates. */
  readonly #descriptor: number;
  /** Undefined until it serves. */
  #server: TCPSocketListener<Connection> | undefined;
  #acceptsTls = false;
  #draining = false;
  #stopped = false;
  #limits: ConnectionLimits;

  /**
   * For a listening socket that the supervisor has opened. Who comes before `serve` waits in the socket's queue: what has
   * been prepared may never serve, and in TLS what a client sends with its last word of the handshake cannot be left unread.
   */
  constructor(
    descriptor: number,
    settings: Snapshot,
    limits: ConnectionLimits,
    context: ListenerContext,
    counters: SharedCounters,
  ) {
    this.settings = settings;
    this.#limits = limits;
    this.#context = context;
    this.#counters = counters;
    this.#listenerKey = counterKey(`listener ${settings.name}`);
    this.#descriptor = descriptor;
    this.#arrivals = new Arrivals(this, context);
  }

  protected abstract create(origin: Origin): Accepted;
  /** The connection has its socket. */
  protected abstract begin(connection: Accepted): void;
  /** Nothing new is to begin on this connection. */
  protected abstract drainConnection(connection: Accepted): void;
  /** The connection has had its time to come to an end. */
  protected closeConnection(connection: Accepted): void {
    connection.close();
  }

  /** Tells the client that there is no room, where its protocol has words for that. */
  protected abstract reject(socket: Socket<Connection>): void;

  get openConnections(): number {
    return this.#open.size + this.#arrivals.open;
  }

  /** Serves from now on, with these settings. */
  serve(settings: Snapshot, limits: ConnectionLimits): void {
    const listensOn = listensAlike(this.settings.tls, settings.tls);
    this.settings = settings;
    this.#limits = limits;
    if (this.#server !== undefined) return this.#listenAnew(listensOn);
    if (!this.#stopped) this.#listen();
  }

  /** Challenges have been opened or closed: while some are open, connections are looked at before TLS begins. */
  challengesChanged(): void {
    this.#listenAnew(true);
  }

  /** Accepts in another way from now on, if that is needed. */
  #listenAnew(sameTls: boolean): void {
    const { acceptsTls } = this.#arrivals;
    const before = this.#server;
    if (this.#stopped || before === undefined) return;
    if (acceptsTls === this.#acceptsTls && (sameTls || !acceptsTls)) return;
    // The new one first: connections that wait are then accepted by the one or the other.
    this.#listen();
    before.stop(false);
  }

  #listen(): void {
    this.#acceptsTls = this.#arrivals.acceptsTls;
    this.#server = this.#arrivals.listen(this.#descriptor);
  }

  /** Asks all connections to come to an end; goes on accepting. */
  drain(): void {
    this.#draining = true;
    this.#arrivals.drain();
    for (const connection of [...this.#open.keys()]) this.drainConnection(connection);
  }

  /** Accepts no more. Connections that are open live on until `closeConnections`. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#server?.stop(false);
    closeDescriptor(this.#descriptor);
  }

  closeConnections(): void {
    this.#arrivals.abort();
    for (const connection of [...this.#open.keys()]) this.closeConnection(connection);
  }

  /** Another connection goes on with the socket, in the place that this one was counted in for. */
  protected replace(connection: Accepted, successor: Accepted, socket: Socket<Connection>): void {
    const counted = this.#open.get(connection);
    if (counted === undefined) return;
    this.#open.delete(connection);
    this.#open.set(successor, counted);
    this.#context.sweep.remove(connection);
    this.#context.sweep.add(successor);
    socket.data = successor;
    successor.attach(socket);
    this.#begin(successor);
  }

  connectionClosed(connection: Accepted): void {
    const counted = this.#open.get(connection);
    if (counted === undefined) return;
    this.#open.delete(connection);
    if (counted.inListener) this.#counters.subtract(this.#listenerKey);
    if (counted.inClient !== undefined) this.#counters.subtract(counted.inClient);
    this.#context.metrics.add(this.settings.cells + LISTENER.open, -1);
  }

  arrived(socket: Socket<Connection>, origin: Origin, rest: Buffer | undefined): void {
    const connection = this.#admit(socket, origin);
    if (rest !== undefined && rest.length > 0) connection?.onData(rest);
  }

  /** Counts the connection in and lets it begin; undefined when there is no room for it. */
  #admit(socket: Socket<Connection>, origin: Origin): Accepted | undefined {
    const counted = this.#count(origin.clientIp);
    if (counted === undefined) {
      this.#context.metrics.add(this.settings.cells + LISTENER.rejected, 1);
      this.#context.metrics.countReason("E_TOO_MANY_CONNECTIONS");
      this.reject(socket);
      return undefined;
    }
    const connection = this.create(origin);
    socket.data = connection;
    connection.attach(socket);
    this.#open.set(connection, counted);
    this.#context.sweep.add(connection);
    this.#context.metrics.add(this.settings.cells + LISTENER.connections, 1);
    this.#context.metrics.add(this.settings.cells + LISTENER.open, 1);
    this.#begin(connection);
    return connection;
  }

  /** Who comes while others are asked to come to an end is asked as well: otherwise nobody would wait for it to be idle. */
  #begin(connection: Accepted): void {
    this.begin(connection);
    if (this.#draining) this.drainConnection(connection);
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
