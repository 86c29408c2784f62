/** What TCP and HTTP listeners share: accepting, and limits on the number of connections that hold over all workers. */
import type { Socket, TCPSocketListener } from "bun";
import type { Clock } from "../base/clock.ts";
import type { NetworkSet } from "../base/ip.ts";
import { type CounterKey, counterKey, type SharedCounters } from "../base/shared-counters.ts";
import type { Log } from "../observability/log.ts";
import { LISTENER, type MetricsWriter } from "../observability/metrics-table.ts";
import type { ProxyHeader } from "../protocols/proxy-protocol/header.ts";
import { type ListenerTls, listensAlike } from "../tls/listener-tls.ts";
import { serverNameHandler } from "../tls/server-name.ts";
import { type Connection, connectionHandlers, plainIp } from "../transport/connection.ts";
import type { DeadlineSweep } from "../transport/deadlines.ts";
import { closeDescriptor, duplicateDescriptor } from "../transport/listening-socket.ts";
import { type Origin, plainOrigin } from "../transport/origin.ts";
import { HandshakeConnection, type HandshakeOwner } from "./handshake-connection.ts";
import { PrefaceConnection, type PrefaceOwner } from "./preface-connection.ts";
import { answerPlainHttp, tlsViewOf } from "./tls-socket.ts";

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
  readonly tls: ListenerTls | undefined;
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
/** Connections that have not shown yet who they are; per worker. */
const MAX_BEGINNING = 8_192;

export abstract class StreamListener<Accepted extends Connection, Snapshot extends Settings>
  implements PrefaceOwner, HandshakeOwner
{
  settings: Snapshot;
  readonly #context: ListenerContext;
  readonly #counters: SharedCounters;
  readonly #listenerKey: CounterKey;
  readonly #keys = new Map<string, CounterKey>();
  readonly #open = new Map<Accepted, Counted>();
  /** Accepted, but still showing who they are. */
  readonly #beginning = new Set<PrefaceConnection | HandshakeConnection>();
  /** Kept beside the one that accepts, so that accepting can begin anew with other certificates. */
  readonly #descriptor: number;
  #server: TCPSocketListener<Connection>;
  #stopped = false;
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
    this.#descriptor = descriptor;
    this.#server = this.#listen();
  }

  #listen(): TCPSocketListener<Connection> {
    const { tls } = this.settings;
    const handlers = {
      ...connectionHandlers,
      open: (socket: Socket<Connection>) => this.#accept(socket),
      ...(tls !== undefined && {
        serverName: serverNameHandler(() => (this.settings.tls ?? tls).selector),
        handshake: (socket: Socket<Connection>, done: boolean, error: Error | null) =>
          this.#handshaken(socket, done, error),
      }),
    };
    // The types do not know `fd`, which takes over a listening socket.
    const options = { fd: duplicateDescriptor(this.#descriptor), allowHalfOpen: true, socket: handlers };
    return Bun.listen<Connection>((tls === undefined ? options : { ...options, tls: tls.options }) as never);
  }

  protected abstract create(origin: Origin): Accepted;
  /** The connection has its socket, and the listener serves. */
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
    return this.#open.size;
  }

  /** Serves from now on, with these settings. */
  serve(settings: Snapshot, limits: ConnectionLimits): void {
    const listensOn = listensAlike(this.settings.tls, settings.tls);
    this.settings = settings;
    this.#limits = limits;
    if (!listensOn) {
      // The new one first: connections that wait are then accepted by the one or the other.
      const before = this.#server;
      this.#server = this.#listen();
      before.stop(false);
    }
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
    if (this.#stopped) return;
    this.#stopped = true;
    this.#server.stop(false);
    closeDescriptor(this.#descriptor);
  }

  closeConnections(): void {
    for (const beginning of [...this.#beginning]) beginning.abort();
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
    this.begin(successor);
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
    this.#forget(preface);
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
    this.#forget(preface);
    this.#context.metrics.add(this.settings.cells + LISTENER.rejected, 1);
    this.#context.log.warn("connection refused", { listener: this.settings.name, from: preface.ip, reason });
  }

  handshakeEnded(connection: HandshakeConnection, reason: string): void {
    this.#forget(connection);
    this.#context.metrics.add(this.settings.cells + LISTENER.rejected, 1);
    this.#context.log.debug("handshake failed", { listener: this.settings.name, from: connection.ip, reason });
  }

  #accept(socket: Socket<Connection>): void {
    const ip = plainIp(socket.remoteAddress);
    const { proxyProtocol, tls } = this.settings;
    const now = this.#context.clock.now();
    if (tls !== undefined) this.#begin(socket, new HandshakeConnection(this, ip, now + tls.handshakeTimeoutMs));
    else if (proxyProtocol?.from.has(ip) === true)
      this.#begin(socket, new PrefaceConnection(this, ip, now + proxyProtocol.timeoutMs));
    else this.#admit(socket, plainOrigin(ip));
  }

  #begin(socket: Socket<Connection>, connection: PrefaceConnection | HandshakeConnection): void {
    if (this.#beginning.size >= MAX_BEGINNING) {
      this.#context.metrics.add(this.settings.cells + LISTENER.rejected, 1);
      socket.terminate();
      return;
    }
    this.#beginning.add(connection);
    socket.data = connection;
    connection.attach(socket);
    this.#context.sweep.add(connection);
  }

  #forget(connection: PrefaceConnection | HandshakeConnection): void {
    this.#beginning.delete(connection);
    this.#context.sweep.remove(connection);
  }

  #handshaken(socket: Socket<Connection>, done: boolean, error: Error | null): void {
    const connection = socket.data;
    const { tls } = this.settings;
    if (!(connection instanceof HandshakeConnection) || tls === undefined) return;
    if (!done) {
      if (error?.message.includes("HTTP_REQUEST") === true) answerPlainHttp(socket);
      this.handshakeEnded(connection, error?.message ?? "the handshake failed");
      connection.settle();
      socket.terminate();
      return;
    }
    const view = tlsViewOf(socket, tls.asksForCertificate);
    // The runtime closes by itself after this handler, when the certificate is not good.
    if (tls.options.rejectUnauthorized && view.clientCertificate?.verified !== true) {
      this.handshakeEnded(connection, `client certificate: ${view.clientCertificate?.failure ?? "none was shown"}`);
      connection.settle();
      return;
    }
    connection.settle();
    this.#forget(connection);
    this.#admit(socket, { ...plainOrigin(connection.ip), tls: view });
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
