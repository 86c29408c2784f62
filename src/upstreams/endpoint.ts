import type { ConnectionPool } from "./connection-pool.ts";
import type { EndpointTable } from "./endpoint-table.ts";
import type { ChannelSource } from "./upstream-channel.ts";

/** What the supervisor tells the workers of one endpoint: where it is and which row of the shared table is its own. */
export interface EndpointSpec {
  /** `"10.0.0.1:80"`: unique in its pool, hashed by the rings. */
  readonly id: string;
  /** An IP address. */
  readonly host: string;
  readonly port: number;
  /** What the configuration calls it, before it is resolved: its name in TLS. */
  readonly name: string;
  /** Lower tiers are used first; the next one only when no endpoint of this one is available. */
  readonly tier: number;
  /** Exchanges in flight at most, over all workers; 0 for no limit. */
  readonly maxConnections: number;
  /** Row in the shared endpoint table and in the metrics of endpoints. */
  readonly row: number;
}

/** An endpoint as a worker sees it. What changes is read from shared memory, so it holds in all workers at once. */
export class Endpoint {
  readonly id: string;
  readonly tier: number;
  readonly maxConnections: number;
  readonly row: number;
  /** First cell of the endpoint's row in the metrics. */
  readonly cells: number;
  readonly connections: ConnectionPool;
  /** Where exchanges get their way to it: `connections`, or streams of HTTP/2. */
  readonly channels: ChannelSource;
  readonly #table: EndpointTable;
  readonly #worker: number;

  constructor(
    spec: EndpointSpec,
    cells: number,
    connections: ConnectionPool,
    channels: ChannelSource,
    table: EndpointTable,
    worker: number,
  ) {
    this.id = spec.id;
    this.tier = spec.tier;
    this.maxConnections = spec.maxConnections;
    this.row = spec.row;
    this.cells = cells;
    this.connections = connections;
    this.channels = channels;
    this.#table = table;
    this.#worker = worker;
  }

  get weight(): number {
    return this.#table.weight(this.row);
  }

  get active(): number {
    return this.#table.inFlight(this.row);
  }

  /** There is a place free on it, those that are for other balancers left out. */
  get hasRoom(): boolean {
    const { maxConnections, row } = this;
    return maxConnections === 0 || this.#table.inFlight(row) + this.#table.elsewhere(row) < maxConnections;
  }

  /** Usable, but all its connections are taken: worth waiting for. */
  get full(): boolean {
    return this.#table.isUsable(this.row) && !this.hasRoom;
  }

  get eligible(): boolean {
    return this.#table.isEligible(this.row) && this.hasRoom;
  }

  /** May be sent requests of sessions that it has, also while it drains, and whether there is a place free now or not. */
  get acceptsSessions(): boolean {
    return this.#table.keepsSessions(this.row);
  }

  /** As `full`, for what belongs to its sessions: also while it drains. */
  get fullForSessions(): boolean {
    return this.acceptsSessions && !this.hasRoom;
  }

  /** As `eligible`, full or not. */
  get available(): boolean {
    return this.#table.isEligible(this.row);
  }

  /** As `available`, but only good enough for when the others do not suffice. */
  get degraded(): boolean {
    return this.#table.isDegraded(this.row);
  }

  /** Degraded, and there is room. */
  get eligibleDegraded(): boolean {
    return this.#table.isDegraded(this.row) && this.hasRoom;
  }

  /** Its pool requires another that has nothing usable. */
  get blocked(): boolean {
    return this.#table.isBlocked(this.row);
  }

  /** Whatever its checks say: nobody has taken it out, and there is room. */
  get mayBeTried(): boolean {
    return this.#table.mayBeTried(this.row) && this.hasRoom;
  }

  /** Counts one exchange in; false when another worker took the last place meanwhile. */
  acquire(): boolean {
    if (this.maxConnections > 0) return this.#table.tryAcquire(this.row, this.#worker, this.maxConnections);
    this.#table.acquire(this.row, this.#worker);
    return true;
  }

  release(): void {
    this.#table.release(this.row, this.#worker);
  }
}
