/**
 * Connections from being accepted until it is known who they are for: the PROXY protocol header of a trusted proxy, then
 * the TLS handshake. TLS that nobody has to look into first is left to the listening socket; else the connection is
 * accepted plain, looked at, and TLS begins on it then (docs/decisions/0004-tls-on-bun.md).
 */
import type { Socket, TCPSocketListener } from "bun";
import type { Clock } from "../base/clock.ts";
import type { NetworkSet } from "../base/ip.ts";
import type { Log } from "../observability/log.ts";
import { LISTENER, type MetricsWriter } from "../observability/metrics-table.ts";
import { type Malformed, MORE, malformed } from "../protocols/outcome.ts";
import type { ProxyHeader } from "../protocols/proxy-protocol/header.ts";
import { parseProxyHeader } from "../protocols/proxy-protocol/parse.ts";
import { parseClientHello } from "../protocols/tls/client-hello.ts";
import { ACME_TLS_PROTOCOL, type ChallengeTable } from "../tls/acme/challenges.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";
import { encodeProtocols, type NativeContext } from "../tls/secure-context.ts";
import { serverNameHandler } from "../tls/server-name.ts";
import { type Connection, closeSocket, connectionHandlers, plainIp } from "../transport/connection.ts";
import type { DeadlineSweep } from "../transport/deadlines.ts";
import { duplicateDescriptor } from "../transport/listening-socket.ts";
import { type Origin, plainOrigin } from "../transport/origin.ts";
import { type Peeker, takeBytes } from "../transport/peek.ts";
import { HandshakeConnection, type HandshakeOwner } from "./handshake-connection.ts";
import { PeekConnection, type PeekOwner } from "./peek-connection.ts";
import { PrefaceConnection, type PrefaceOwner } from "./preface-connection.ts";
import { answerPlainHttp, beginTls, tlsViewOf, wasResumed } from "./tls-socket.ts";

export interface ArrivalSettings {
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

export interface ListenerContext {
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: MetricsWriter;
  readonly sweep: DeadlineSweep;
  readonly peeker: Peeker;
  readonly challenges: ChallengeTable;
}

export interface ArrivalOwner {
  readonly settings: ArrivalSettings;
  /** It is known who the connection is for. `rest` are its own first bytes, when some have been read already. */
  arrived(socket: Socket<Connection>, origin: Origin, rest: Buffer | undefined): void;
}

type Beginning = PrefaceConnection | PeekConnection | HandshakeConnection;

/** Connections that have not shown yet who they are; per listener and worker. */
const MAX_BEGINNING = 8_192;
/** Of these, connections that are being looked at. Beyond, an authority that comes to look is not recognized. */
const MAX_PEEKING = 1_024;
/** When the listener is stopping: who has not shown by then who they are will hardly do so. */
const DRAIN_MS = 2_000;
const BOTH_VERSIONS = { v1: true, v2: true };

export class Arrivals implements PrefaceOwner, PeekOwner, HandshakeOwner {
  readonly #owner: ArrivalOwner;
  readonly #context: ListenerContext;
  readonly #beginning = new Set<Beginning>();

  constructor(owner: ArrivalOwner, context: ListenerContext) {
    this.#owner = owner;
    this.#context = context;
  }

  /** Connections that are still showing who they are. */
  get open(): number {
    return this.#beginning.size;
  }

  /** The listener is stopping: they are served still, if they make haste. */
  drain(): void {
    const untilMs = this.#context.clock.now() + DRAIN_MS;
    for (const beginning of this.#beginning) beginning.deadlineMs = Math.min(beginning.deadlineMs, untilMs);
  }

  abort(): void {
    for (const beginning of [...this.#beginning]) beginning.abort();
  }

  /** Whether TLS can begin with the listening socket: nobody needs to see anything before. */
  get acceptsTls(): boolean {
    const { tls, proxyProtocol } = this.#owner.settings;
    return tls !== undefined && proxyProtocol === undefined && this.#context.challenges.openTls === 0;
  }

  /** Accepts on a copy of `descriptor`, which is a listening socket. */
  listen(descriptor: number): TCPSocketListener<Connection> {
    const { tls } = this.#owner.settings;
    // The types do not know `fd`, which takes over a listening socket.
    const options = { fd: duplicateDescriptor(descriptor), allowHalfOpen: true };
    const open = { open: (socket: Socket<Connection>) => this.#accept(socket) };
    if (tls === undefined || !this.acceptsTls)
      return Bun.listen<Connection>({ ...options, socket: { ...connectionHandlers, ...open } } as never);
    const socket = { ...this.#tlsHandlers(tls), open: (one: Socket<Connection>) => this.#acceptTls(one) };
    return Bun.listen<Connection>({ ...options, socket, tls: tls.options } as never);
  }

  #tlsHandlers(tls: ListenerTls): object {
    return {
      ...connectionHandlers,
      serverName: serverNameHandler(() => (this.#owner.settings.tls ?? tls).selector),
      handshake: (socket: Socket<Connection>, done: boolean, error: Error | null) =>
        this.#handshaken(socket, done, error),
    };
  }

  #acceptTls(socket: Socket<Connection>): void {
    if (isGone(socket)) return socket.terminate();
    const { tls } = this.#owner.settings;
    const timeoutMs = tls?.handshakeTimeoutMs ?? 0;
    const deadlineMs = this.#context.clock.now() + timeoutMs;
    this.#begin(socket, new HandshakeConnection(this, plainOrigin(plainIp(socket.remoteAddress)), deadlineMs));
  }

  #accept(socket: Socket<Connection>): void {
    if (isGone(socket)) return socket.terminate();
    const ip = plainIp(socket.remoteAddress);
    const { proxyProtocol, tls } = this.#owner.settings;
    if (proxyProtocol?.from.has(ip) !== true) return this.#identified(socket, plainOrigin(ip));
    const deadlineMs = this.#context.clock.now() + proxyProtocol.timeoutMs;
    if (tls === undefined) this.#begin(socket, new PrefaceConnection(this, ip, deadlineMs));
    else
      this.#peek(socket, new PeekConnection(this, this.#context.peeker, plainOrigin(ip), "proxy header", deadlineMs));
  }

  /** It is known where the client is; what is left to know is in TLS. */
  #identified(socket: Socket<Connection>, origin: Origin): void {
    const { tls } = this.#owner.settings;
    if (tls === undefined) return this.#owner.arrived(socket, origin, undefined);
    const { challenges, peeker, clock } = this.#context;
    if (challenges.openTls === 0 || peeker.waiting >= MAX_PEEKING) return this.#upgrade(socket, origin, undefined);
    const deadlineMs = clock.now() + tls.handshakeTimeoutMs;
    this.#peek(socket, new PeekConnection(this, peeker, origin, "hello", deadlineMs));
  }

  #begin(socket: Socket<Connection>, connection: Beginning): boolean {
    if (this.#beginning.size >= MAX_BEGINNING) {
      this.#context.metrics.add(this.#owner.settings.cells + LISTENER.rejected, 1);
      socket.terminate();
      return false;
    }
    this.#beginning.add(connection);
    this.#context.metrics.add(this.#owner.settings.cells + LISTENER.open, 1);
    socket.data = connection;
    connection.attach(socket);
    this.#context.sweep.add(connection);
    return true;
  }

  #peek(socket: Socket<Connection>, connection: PeekConnection): void {
    if (this.#begin(socket, connection)) connection.begin();
  }

  #forget(connection: Beginning): void {
    if (!this.#beginning.delete(connection)) return;
    this.#context.metrics.add(this.#owner.settings.cells + LISTENER.open, -1);
    this.#context.sweep.remove(connection);
  }

  // ---- What was read or looked at

  /** The PROXY header is there: from here on it is as if the client itself had connected. */
  prefaceRead(preface: PrefaceConnection, header: ProxyHeader, rest: Buffer): void {
    this.#forget(preface);
    const socket = preface.detach();
    if (socket !== undefined) this.#owner.arrived(socket, originOf(header, preface.ip), rest);
  }

  prefaceFailed(preface: PrefaceConnection, reason: string): void {
    this.#refused(preface, preface.ip, reason);
  }

  peekFailed(peek: PeekConnection, reason: string): void {
    this.#refused(peek, peek.origin.clientIp, reason);
  }

  look(peek: PeekConnection, bytes: Buffer, length: number): typeof MORE | Malformed | undefined {
    return peek.purpose === "hello" ? this.#lookAtHello(peek, bytes, length) : this.#takeHeader(peek, bytes, length);
  }

  #takeHeader(peek: PeekConnection, bytes: Buffer, length: number): typeof MORE | Malformed | undefined {
    const header = parseProxyHeader(bytes, length, BOTH_VERSIONS);
    if (header === MORE || "error" in header) return header;
    // What is behind it belongs to TLS.
    if (!takeBytes(peek.descriptor, header.length)) return malformed("the connection is gone");
    this.#forget(peek);
    const socket = peek.detach();
    if (socket !== undefined) this.#identified(socket, originOf(header, peek.origin.clientIp));
    return undefined;
  }

  /** Finds authorities that come for an open challenge. What is wrong about a hello, TLS says in its own words. */
  #lookAtHello(peek: PeekConnection, bytes: Buffer, length: number): typeof MORE | undefined {
    const hello = parseClientHello(bytes, length);
    if (hello === MORE) return MORE;
    const isChallenge = !("error" in hello) && hello.alpn.length === 1 && hello.alpn[0] === ACME_TLS_PROTOCOL;
    this.#forget(peek);
    const socket = peek.detach();
    if (socket === undefined) return undefined;
    const context = isChallenge ? this.#context.challenges.tlsContext(hello.serverName) : undefined;
    this.#upgrade(socket, peek.origin, context);
    return undefined;
  }

  #refused(connection: Beginning, from: string, reason: string): void {
    this.#forget(connection);
    const { name, cells } = this.#owner.settings;
    this.#context.metrics.add(cells + LISTENER.rejected, 1);
    this.#context.log.warn("connection refused", { listener: name, from, reason });
  }

  // ---- TLS

  /** Begins TLS on a connection that was accepted plain; with `challenge`, for an authority that wants to see that. */
  #upgrade(socket: Socket<Connection>, origin: Origin, challenge: NativeContext | undefined): void {
    const { tls } = this.#owner.settings;
    if (tls === undefined) return socket.terminate();
    const deadlineMs = this.#context.clock.now() + tls.handshakeTimeoutMs;
    const connection = new HandshakeConnection(this, origin, deadlineMs, challenge !== undefined);
    const handlers = this.#tlsHandlers(tls);
    const options =
      challenge === undefined
        ? { tls: tls.options, handlers }
        : { tls: challengeOptions(challenge), handlers: { ...handlers, serverName: () => challenge } };
    const encrypted = beginTls(socket, connection, options);
    if (this.#begin(encrypted, connection)) encrypted.resume();
  }

  handshakeEnded(connection: HandshakeConnection, reason: string): void {
    this.#forget(connection);
    const { name, cells } = this.#owner.settings;
    this.#context.metrics.add(cells + LISTENER.rejected, 1);
    this.#context.metrics.add(cells + LISTENER.handshakesFailed, 1);
    this.#context.log.debug("handshake failed", { listener: name, from: connection.origin.clientIp, reason });
  }

  #handshaken(socket: Socket<Connection>, done: boolean, error: Error | null): void {
    const connection = socket.data;
    const { tls, cells } = this.#owner.settings;
    if (!(connection instanceof HandshakeConnection) || connection.isSettled || tls === undefined) return;
    if (!done) {
      if (error?.message.includes("HTTP_REQUEST") === true) answerPlainHttp(socket);
      this.handshakeEnded(connection, error?.message ?? "the handshake failed");
      connection.settle();
      socket.terminate();
      return;
    }
    const view = tlsViewOf(socket, tls.asksForCertificate);
    // The runtime closes by itself after this handler, when the certificate is not good.
    if (!connection.forChallenge && tls.options.rejectUnauthorized && view.clientCertificate?.verified !== true) {
      this.handshakeEnded(connection, `client certificate: ${view.clientCertificate?.failure ?? "none was shown"}`);
      connection.settle();
      return;
    }
    connection.settle();
    this.#forget(connection);
    if (connection.forChallenge) {
      closeSocket(socket);
      return;
    }
    const { metrics } = this.#context;
    metrics.add(cells + LISTENER.handshakes, 1);
    if (wasResumed(socket)) metrics.add(cells + LISTENER.handshakesResumed, 1);
    this.#owner.arrived(socket, { ...connection.origin, tls: view }, undefined);
  }
}

/** The client has reset the connection while it waited to be accepted: then nobody knows any more where it came from. */
function isGone(socket: Socket<Connection>): boolean {
  return (socket.remoteAddress as string | undefined) === undefined;
}

/** `ip` is where the header came from: it counts when the header tells of nobody else. */
function originOf({ addresses, tlvs }: ProxyHeader, ip: string): Origin {
  const told =
    addresses === undefined
      ? undefined
      : {
          client: { ip: addresses.sourceIp, port: addresses.sourcePort },
          local: { ip: addresses.destinationIp, port: addresses.destinationPort },
        };
  return { clientIp: told?.client.ip ?? ip, told, tlvs, tls: undefined };
}

function challengeOptions(secureContext: NativeContext): object {
  const ALPNProtocols = encodeProtocols([ACME_TLS_PROTOCOL]);
  return { secureContext, ALPNProtocols, requestCert: false, rejectUnauthorized: false };
}
