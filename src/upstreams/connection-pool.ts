/**
 * The connections of one worker to one endpoint. Idle ones are lent out again, last used first, so that those not needed
 * grow old and are closed. How many exchanges run at a time is decided before (Endpoint.acquire), not here.
 */
import type { Clock } from "../base/clock.ts";
import { ENDPOINT, type MetricsWriter } from "../observability/metrics-table.ts";
import { type DeadlineSweep, NEVER } from "../transport/deadlines.ts";
import { type DialedConnection, type DialTarget, dial } from "./dial.ts";
import type { ConnectionsConfig } from "./schema.ts";
import type { Borrower, ChannelSource } from "./upstream-channel.ts";
import { type ConnectionHome, UpstreamConnection } from "./upstream-connection.ts";

export interface ConnectionPoolContext {
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly metrics: MetricsWriter;
}

/** A connection that is not lent out but belongs to whoever asked for it. */
export interface OwnedConnection extends DialedConnection {
  /** The endpoint is taken out of service: close in good order. */
  endpointLeft(): void;
}

export class ConnectionPool implements ConnectionHome, ChannelSource {
  readonly #target: DialTarget;
  readonly #cells: number;
  readonly #context: ConnectionPoolContext;
  #config: ConnectionsConfig;
  /** Told when idle connections are to be closed now and the others once they are idle. */
  onRetire: (() => void) | undefined;
  /** Told when all connections are to be closed. */
  onCloseAll: (() => void) | undefined;
  /** Whether the endpoint drains: then nothing is kept for later. */
  isLeaving: () => boolean = () => false;
  /** All there are, those that are being made included. */
  readonly #all = new Set<UpstreamConnection | OwnedConnection>();
  #idle: UpstreamConnection[] = [];
  #retired = false;

  /** `cells` is the first cell of the endpoint's row in the metrics. */
  constructor(target: DialTarget, cells: number, config: ConnectionsConfig, context: ConnectionPoolContext) {
    this.#target = target;
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

  /** Connections are for what is under way only: its endpoint drains, or is no longer used. */
  get keepsNothing(): boolean {
    return this.#retired || this.isLeaving();
  }

  get config(): ConnectionsConfig {
    return this.#config;
  }

  get target(): DialTarget {
    return this.#target;
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
    this.#all.add(connection);
    dial(connection, this.#target);
    return connection;
  }

  /** Begins a connection of another kind, which will not come back here: its owner closes it. */
  dialOwned(connection: OwnedConnection): void {
    this.#all.add(connection);
    connection.deadlineMs = this.#context.clock.now() + this.#config.connectTimeout;
    this.#context.sweep.add(connection);
    dial(connection, this.#target);
  }

  /** Its owner has no use for it any more, open or not. */
  disown(connection: OwnedConnection): void {
    this.#all.delete(connection);
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
    if (
      this.keepsNothing ||
      tooOld ||
      isPersonal ||
      this.#idle.length >= this.#config.maxIdle ||
      connection.congested
    ) {
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
    this.#all.delete(connection);
    if (connection.wasOpen) this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpen, -1);
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  /** The endpoint is no longer used: closes what is idle now and what is lent when it comes back. */
  retire(): void {
    this.#retired = true;
    this.closeIdle();
  }

  /** The endpoint drains: what is idle is of no use. */
  closeIdle(): void {
    this.onRetire?.();
    for (const connection of [...this.#idle]) connection.close();
  }

  /** The endpoint is out of service: ends what is under way, and closes in good order. */
  closeAll(): void {
    this.onCloseAll?.();
    for (const connection of [...this.#all]) connection.endpointLeft();
  }
}
