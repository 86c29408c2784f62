/**
 * The seam between a worker's life cycle and its data path: the life cycle tells it what to serve, the data path serves.
 * The same object serves inside the supervisor when `workers: 0`.
 */
import type { Clock, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { SharedCounters } from "../base/shared-counters.ts";
import type { Config } from "../config/schema.ts";
import type { EventReport } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import type { MetricsTable } from "../observability/metrics-table.ts";
import type { SessionTable } from "../sessions/session-table.ts";
import type { Challenge } from "../tls/acme/challenges.ts";
import type { Certificate } from "../tls/certificate.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import type { EndpointTable } from "../upstreams/endpoint-table.ts";
import type { ResilienceMemory } from "./resilience-memory.ts";

export interface DataPathOptions {
  readonly worker: number;
  readonly endpointTable: EndpointTable;
  readonly metrics: MetricsTable;
  readonly resilience: ResilienceMemory;
  readonly counters: SharedCounters;
  readonly sessions: SessionTable;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** To be added to the clock's time for one that all processes agree on; 0 where there is one process. */
  readonly sharedOffsetMs?: number;
  /** Told of what has changed here. */
  readonly report: (event: EventReport) => void;
  /** The endpoint of a pool in this row of the shared table has failed too often in a row. */
  readonly onSuspect: (pool: string, row: number) => void;
}

/** Everything a worker needs to build a snapshot. Plain data: it travels between processes. */
export interface WorkerUpdate {
  /** Grows by one with every configuration that is tried. */
  readonly generation: number;
  readonly config: Config;
  /** Resolved endpoints by pool; may be empty while names do not resolve. */
  readonly endpoints: Readonly<Record<string, readonly EndpointSpec[]>>;
  /** Certificates by listener, in the order of its configuration, the default first. */
  readonly certificates: Readonly<Record<string, readonly Certificate[]>>;
  /** Rows in the metrics table, by name. Routes without a name in the file have got theirs (`route-1`). */
  readonly rows: {
    readonly listeners: Readonly<Record<string, number>>;
    readonly routes: Readonly<Record<string, number>>;
    readonly pools: Readonly<Record<string, number>>;
  };
}

export interface DataPath {
  /**
   * Builds the snapshot of `update` and takes over the listening sockets in `descriptors` (by listener name) that it
   * does not have yet, without serving it. Throws an EvenkeelError that says what is wrong; then nothing has changed.
   */
  prepare(update: WorkerUpdate, descriptors: Readonly<Record<string, number>>): void;
  /** Serves what was prepared, from the next request on. Exchanges in flight end with the snapshot they began with. */
  commit(): void;
  /** Forgets what was prepared. */
  abort(): void;
  /** New endpoints of one pool (discovery found a change). Exchanges in flight are not disturbed. */
  replaceEndpoints(pool: string, endpoints: readonly EndpointSpec[]): void;
  /** These are the answers that an authority may come for now, and no others. */
  setChallenges(challenges: readonly Challenge[]): void;
  /** Weights in the shared table have changed: what was built from them is built anew. */
  weightsChanged(pool: string): void;
  /**
   * Closes connections to an endpoint in good order: those that are idle, or all, with what is under way on them. Safe
   * requests of which nothing has been answered go elsewhere.
   */
  closeConnections(pool: string, endpoint: string, which: "idle" | "all"): void;
  /**
   * Tells keep-alive clients to close after their answer. Goes on accepting until `close`, unless the listening sockets
   * are `handedOver`: then another process takes whoever comes now.
   */
  drain(handedOver: boolean): void;
  /** Client connections that are open now. Draining has ended when it is 0. */
  openConnections(): number;
  /** Stops listening and closes everything at once; resolves when the logs are written. */
  close(): Promise<void>;
  /** Reopens the access log (after it was rotated). */
  reopenLogs(): void;
}
