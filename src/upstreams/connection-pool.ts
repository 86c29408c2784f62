/**
 * The connections of one worker to one endpoint. Idle ones are lent out again, last used first, so that those not needed
 * grow old and are closed. How many exchanges run at a time is decided before (Endpoint.acquire), not here.
 */
import type { Socket } from "bun";
import type { Clock } from "../base/clock.ts";
import type { ErrorCode } from "../base/errors.ts";
import { ENDPOINT, type MetricsWriter } from "../observability/metrics-table.ts";
import { Connection, connectionHandlers } from "../transport/connection.ts";
import { type DeadlineSweep, NEVER } from "../transport/deadlines.ts";
import type { ConnectionsConfig } from "./schema.ts";
import { type Borrower, type ConnectionHome, UpstreamConnection } from "./upstream-connection.ts";

export interface ConnectionPoolContext {
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly metrics: MetricsWriter;
}

export class ConnectionPool implements ConnectionHome {
  readonly #host: string;
  readonly #port: number;
  readonly #cells: number;
  readonly #context: ConnectionPoolContext;
  #config: ConnectionsConfig;
  #idle: UpstreamConnection[] = [];
  #retired = false;

  /** `cells` is the first cell of the endpoint's row in the metrics. */
  constructor(host: string, port: number, cells: number, config: ConnectionsConfig, context: ConnectionPoolContext) {
    this.#host = host;
    this.#port = port;
    this.#cells = cells;
    this.#config = config;
    this.#context = context;
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  /** Bytes. */
  get maxResponseHead(): number {
    return this.#config.maxResponseHead;
  }

  get proxyProtocol(): ConnectionsConfig["proxyProtocol"] {
    return this.#config.proxyProtocol;
  }

  /** Settings may change with a reload; connections that are open stay. */
  configure(config: ConnectionsConfig): void {
    this.#config = config;
  }

  /** An idle connection, lent to `borrower`; undefined when there is none: then `dial`. */
  take(borrower: Borrower): UpstreamConnection | undefined {
    const connection = this.#idle.pop();
    if (connection === undefined) return undefined;
    connection.state = "lent";
    connection.reused = true;
    connection.borrower = borrower;
    connection.deadlineMs = NEVER;
    return connection;
  }

  /** Begins a new connection; `borrower` is told how it went, later. */
  dial(borrower: Borrower): UpstreamConnection {
    const now = this.#context.clock.now();
    const connection = new UpstreamConnection(this, borrower, now);
    connection.deadlineMs = now + this.#config.connectTimeout;
    this.#context.sweep.add(connection);
    Bun.connect<Connection>({
      hostname: this.#host,
      port: this.#port,
      allowHalfOpen: true,
      data: connection,
      socket: upstreamHandlers,
    }).catch(() => connection.failConnecting("E_CONNECT_FAILED"));
    return connection;
  }

  /** Begins a connection of another kind, which will not come back here: its owner closes it. */
  dialOwned(connection: OwnedConnection): void {
    connection.deadlineMs = this.#context.clock.now() + this.#config.connectTimeout;
    this.#context.sweep.add(connection);
    Bun.connect<Connection>({
      hostname: this.#host,
      port: this.#port,
      allowHalfOpen: true,
      data: connection,
      socket: ownedHandlers,
    }).catch(() => connection.failConnecting("E_CONNECT_FAILED"));
  }

  /** An owned connection is open; call `ownedClosed` once it is not. */
  ownedOpened(): void {
    this.connected();
  }

  ownedClosed(): void {
    this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpen, -1);
  }

  /** Takes a lent connection back after a complete exchange, to be used again if it may. */
  giveBack(connection: UpstreamConnection, now: number): void {
    connection.borrower = undefined;
    const tooOld = now - connection.bornMs > this.#config.maxAge;
    // What it began with names one client; the next exchange is another's.
    const isPersonal = this.#config.proxyProtocol !== undefined;
    if (this.#retired || tooOld || isPersonal || this.#idle.length >= this.#config.maxIdle || connection.congested) {
      connection.close();
      return;
    }
    connection.state = "idle";
    connection.deadlineMs = now + this.#config.idleTimeout;
    connection.resume();
    this.#idle.push(connection);
  }

  now(): number {
    return this.#context.clock.now();
  }

  connected(): void {
    const { metrics } = this.#context;
    metrics.add(this.#cells + ENDPOINT.connectionsOpened, 1);
    metrics.add(this.#cells + ENDPOINT.connectionsOpen, 1);
  }

  /** A connection is gone or was never made. */
  forget(connection: UpstreamConnection): void {
    this.#context.sweep.remove(connection);
    if (connection.wasOpen) this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpen, -1);
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  /** The endpoint is no longer used: closes what is idle now and what is lent when it comes back. */
  retire(): void {
    this.#retired = true;
    for (const connection of [...this.#idle]) connection.close();
  }
}

/** A connection to an endpoint that serves one client only, as those of TCP listeners do. */
export abstract class OwnedConnection extends Connection {
  abstract opened(): void;
  abstract failConnecting(code: ErrorCode): void;
}

const ownedHandlers = {
  ...connectionHandlers,
  open(socket: Socket<Connection>) {
    const connection = socket.data as OwnedConnection;
    connection.attach(socket);
    connection.opened();
  },
  connectError(socket: Socket<Connection>) {
    (socket.data as OwnedConnection).failConnecting("E_CONNECT_FAILED");
  },
};

const upstreamHandlers = {
  ...connectionHandlers,
  open(socket: Socket<Connection>) {
    const connection = socket.data as UpstreamConnection;
    connection.attach(socket);
    connection.opened();
  },
  connectError(socket: Socket<Connection>) {
    (socket.data as UpstreamConnection).failConnecting("E_CONNECT_FAILED");
  },
};
