/** What TCP and HTTP listeners share: accepting, and limits on the number of connections that hold over all workers. */
import type { Socket, SocketHandler, TCPSocketListener } from "bun";
import type { Clock } from "../base/clock.ts";
import type { NetworkSet } from "../base/ip.ts";
import { type CounterKey, counterKey, type SharedCounters } from "../base/shared-counters.ts";
import type { Log } from "../observability/log.ts";
import { LISTENER, type MetricsWriter } from "../observability/metrics-table.ts";
import type { ProxyHeader } from "../protocols/proxy-protocol/header.ts";
import { type Connection, connectionHandlers, plainIp } from "../transport/connection.ts";
import type { DeadlineSweep } from "../transport/deadlines.ts";
import { type Origin, plainOrigin } from "../transport/origin.ts";
import { PrefaceConnection, type PrefaceOwner } from "./preface-connection.ts";

export interface ConnectionLimits {
  /** Over all workers; likewise the next. */
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
}

export interface ListenerContext {
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: MetricsWriter;
  readonly sweep: DeadlineSweep;
}

interface Settings {
  readonly name: string;
  readonly proxyProtocol: ProxyProtocolSettings | undefined;
  /** First cell of the listener's row in the metrics. */
  readonly cells: number;
}

/** Who must send a PROXY protocol header, and how long that may take. */
export interface ProxyProtocolSettings {
  readonly from: NetworkSet;
  readonly timeoutMs: number;
}

interface Counted {
  readonly inListener: boolean;
  readonly inClient: CounterKey | undefined;
}

const MAX_KEYS = 4_096;
/** Connections of trusted proxies that have not said yet for whom they are; per worker. */
const MAX_PREFACES = 4_096;

export abstract class StreamListener<Accepted extends Connection, Snapshot extends Settings> implements PrefaceOwner {
  settings: Snapshot;
  readonly #context: ListenerContext;
  readonly #counters: SharedCounters;
  readonly #listenerKey: CounterKey;
  readonly #keys = new Map<string, CounterKey>();
  readonly #open = new Map<Accepted, Counted>();
  readonly #prefaces = new Set<PrefaceConnection>();
  readonly #server: TCPSocketListener<Connection>;
  #limits: ConnectionLimits;
  /** False between prepare and commit: what is accepted meanwhile waits unread. */
  #serving = false;

  /** Accepts on a listening socket that the supervisor has opened. */
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
    const handlers: SocketHandler<Connection> = { ...connectionHandlers, open: (socket) => this.#accept(socket) };
    // The types do not know `fd`, which takes over a listening socket.
    this.#server = Bun.listen<Connection>({ fd: descriptor, allowHalfOpen: true, socket: handlers } as never);
  }

  protected abstract create(origin: Origin): Accepted;
  /** The connection has its socket, and the listener serves. */
  protected abstract begin(connection: Accepted): void;
  /** Nothing new is to begin on this connection. */
  protected abstract drainConnection(connection: Accepted): void;
  /** Tells the client that there is no room, where its protocol has words for that. */
  protected abstract reject(socket: Socket<Connection>): void;

  get openConnections(): number {
    return this.#open.size;
  }

  /** Serves from now on, with these settings. */
  serve(settings: Snapshot, limits: ConnectionLimits): void {
    this.settings = settings;
    this.#limits = limits;
    if (this.#serving) return;
    this.#serving = true;
    for (const connection of [...this.#open.keys()]) {
      connection.resume();
      this.begin(connection);
    }
  }

  /** Asks all connections to come to an end; goes on accepting. */
  drain(): void {
    for (const connection of [...this.#open.keys()]) this.drainConnection(connection);
  }

  /** Accepts no more. Connections that are open live on until `closeConnections`. */
  stop(): void {
    this.#server.stop(false);
  }

  closeConnections(): void {
    for (const preface of [...this.#prefaces]) preface.abort();
    for (const connection of [...this.#open.keys()]) connection.close();
  }

  connectionClosed(connection: Accepted): void {
    const counted = this.#open.get(connection);
    if (counted === undefined) return;
    this.#open.delete(connection);
    if (counted.inListener) this.#counters.subtract(this.#listenerKey);
    if (counted.inClient !== undefined) this.#counters.subtract(counted.inClient);
    this.#context.metrics.add(this.settings.cells + LISTENER.open, -1);
  }

  /** The PROXY header is there: from here on it is as if the client itself had connected. */
  prefaceRead(preface: PrefaceConnection, header: ProxyHeader, rest: Buffer): void {
    this.#forgetPreface(preface);
    const socket = preface.detach();
    if (socket === undefined) return;
    const { addresses, tlvs } = header;
    const told =
      addresses === undefined
        ? undefined
        : {
            client: { ip: addresses.sourceIp, port: addresses.sourcePort },
            local: { ip: addresses.destinationIp, port: addresses.destinationPort },
          };
    const connection = this.#admit(socket, { clientIp: told?.client.ip ?? preface.ip, told, tlvs, tls: undefined });
    if (rest.length > 0) connection?.onData(rest);
  }

  prefaceFailed(preface: PrefaceConnection, reason: string): void {
    this.#forgetPreface(preface);
    this.#context.metrics.add(this.settings.cells + LISTENER.rejected, 1);
    this.#context.log.warn("connection refused", { listener: this.settings.name, from: preface.ip, reason });
  }

  #accept(socket: Socket<Connection>): void {
    const ip = plainIp(socket.remoteAddress);
    const { proxyProtocol } = this.settings;
    if (proxyProtocol?.from.has(ip) !== true) {
      this.#admit(socket, plainOrigin(ip));
      return;
    }
    if (this.#prefaces.size >= MAX_PREFACES) {
      this.#context.metrics.add(this.settings.cells + LISTENER.rejected, 1);
      socket.terminate();
      return;
    }
    const preface = new PrefaceConnection(this, ip, this.#context.clock.now() + proxyProtocol.timeoutMs);
    this.#prefaces.add(preface);
    socket.data = preface;
    preface.attach(socket);
    this.#context.sweep.add(preface);
  }

  #forgetPreface(preface: PrefaceConnection): void {
    this.#prefaces.delete(preface);
    this.#context.sweep.remove(preface);
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
    if (this.#serving) this.begin(connection);
    else connection.pause();
    return connection;
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
