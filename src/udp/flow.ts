/** A flow: what one client port sends to one address of ours, and what endpoints answer. */
import type { ErrorCode } from "../base/errors.ts";
import type { AccessRecord } from "../observability/access-format.ts";
import type { Pool } from "../pools/pool.ts";
import type { ReplyTarget } from "../transport/datagram-socket.ts";
import type { Deadline } from "../transport/deadlines.ts";
import type { PlaceKey } from "../transport/socket-address.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { FlowPlaces } from "./flow-table.ts";
import type { Flows } from "./flows.ts";
import { expire } from "./handle-datagram.ts";
import type { Leg } from "./leg.ts";
import type { UdpRoute, UdpSnapshot } from "./snapshot.ts";

/** Where a flow comes from. */
export interface FlowOrigin extends FlowPlaces, ReplyTarget {
  readonly ip: string;
  readonly port: number;
}

export class Flow implements Deadline, AccessRecord, FlowOrigin {
  readonly flows: Flows;
  readonly settings: UdpSnapshot;
  readonly matched: UdpRoute;
  readonly poolInUse: Pool;
  /** What the pool's algorithm hashes. */
  readonly key: number;
  readonly local: PlaceKey;
  readonly client: PlaceKey;
  readonly clientAddress: PlaceKey;
  readonly ip: string;
  readonly port: number;
  readonly name: Uint32Array;
  readonly control: Uint32Array | undefined;
  readonly startedMs: number;
  readonly startedWallMs: number;
  /** The socket to its endpoint, once there is one; the last used one when every datagram is balanced on its own. */
  leg: Leg | undefined;
  /** All of them, when every datagram is balanced on its own. */
  legs: Map<Endpoint, Leg> | undefined;
  deadlineMs: number;
  sweepIndex = -1;
  failure: ErrorCode | undefined;
  finished = false;
  attempts = 0;
  endpoint = "";
  firstByteMs = -1;
  totalMs = -1;
  datagramsIn = 0;
  datagramsOut = 0;
  bytesIn = 0;
  bytesOut = 0;

  constructor(flows: Flows, origin: FlowOrigin, matched: UdpRoute, pool: Pool, key: number, nowMs: number) {
    this.flows = flows;
    this.settings = flows.settings;
    this.matched = matched;
    this.poolInUse = pool;
    this.key = key;
    this.local = origin.local;
    this.client = origin.client;
    this.clientAddress = origin.clientAddress;
    this.ip = origin.ip;
    this.port = origin.port;
    this.name = origin.name;
    this.control = origin.control;
    this.startedMs = nowMs;
    this.startedWallMs = flows.context.clock.wallNow();
    this.deadlineMs = nowMs + this.settings.idleMs;
    if (this.settings.perPacket) this.legs = new Map();
  }

  onDeadline(): void {
    expire(this);
  }

  /** All answers that are to be expected have come. */
  get isAnswered(): boolean {
    const { responses } = this.settings;
    return responses > 0 && this.datagramsOut >= responses * this.datagramsIn;
  }

  // ---- For the access log (AccessRecord)

  get clientIp(): string {
    return this.ip;
  }
  get clientPort(): number {
    return this.port;
  }
  get listener(): string {
    return this.settings.name;
  }
  get route(): string {
    return this.matched.name;
  }
  get pool(): string {
    return this.poolInUse.name;
  }
  get reason(): string {
    return this.failure ?? "";
  }
  readonly method = "";
  readonly target = "";
  readonly host = "";
  readonly protocol = "UDP";
  readonly status = 0;
  readonly connectMs = -1;
  readonly requestId = "";
  readonly userAgent = "";
  readonly referer = "";
}
