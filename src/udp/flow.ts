/**
 * A flow, which is what one client port sends to one address of ours and what endpoints answer; and its legs, the sockets
 * to those endpoints. What becomes of them is told in handle-datagram.ts.
 */
import type { ErrorCode } from "../base/errors.ts";
import type { AccessRecord } from "../observability/access-format.ts";
import { ENDPOINT, LISTENER } from "../observability/metrics-table.ts";
import type { Pool } from "../pools/pool.ts";
import type { DatagramEngine } from "../transport/datagram-engine.ts";
import type { ReplySocket, ReplyTarget } from "../transport/datagram-socket.ts";
import type { Deadline } from "../transport/deadlines.ts";
import { BATCH } from "../transport/message-vector.ts";
import type { Watcher } from "../transport/readiness-loop.ts";
import type { PlaceKey } from "../transport/socket-address.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { UdpContext } from "./context.ts";
import type { FlowPlaces, FlowTable } from "./flow-table.ts";
import type { UdpRoute, UdpSnapshot } from "./snapshot.ts";
import type { Unreachable } from "./unreachable.ts";

/** All flows of a listener, as one of them sees it. */
export interface FlowOwner extends ReplySocket {
  readonly settings: UdpSnapshot;
  readonly context: UdpContext;
  readonly engine: DatagramEngine;
  readonly table: FlowTable<Flow>;
  readonly unreachable: Unreachable<Endpoint>;
  /** No flow begins any more. */
  readonly draining: boolean;
  /** When the datagrams that are looked at now were received. */
  readonly nowMs: number;
  /** Nothing was sent either way for as long as that is allowed. */
  flowExpired(flow: Flow): void;
  flowEnded(): void;
  /** Answers have come and are on their way to the client. */
  legAnswered(leg: Leg): void;
  /** Nobody is at the endpoint's port. */
  legFailed(leg: Leg): void;
}

/** Where a flow comes from. */
export interface FlowOrigin extends FlowPlaces, ReplyTarget {
  readonly ip: string;
  readonly port: number;
}

export class Flow implements Deadline, AccessRecord, FlowOrigin {
  readonly flows: FlowOwner;
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

  constructor(flows: FlowOwner, origin: FlowOrigin, matched: UdpRoute, pool: Pool, key: number, nowMs: number) {
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
    this.flows.flowExpired(this);
  }

  /** All answers that are to be expected have come. */
  get isAnswered(): boolean {
    const { responses } = this.settings;
    return responses > 0 && this.datagramsOut >= responses * this.datagramsIn;
  }

  // ---- For the access log (AccessRecord)

  readonly tls = undefined;

  get bodyBytesOut(): number {
    return this.bytesOut;
  }

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

/** A flow's socket to one endpoint: what comes back on it goes to the flow's client. */
export class Leg implements Watcher {
  readonly flow: Flow;
  readonly endpoint: Endpoint;
  readonly descriptor: number;
  readonly startedMs: number;
  firstByteMs = -1;
  closed = false;
  /** Datagrams to ask the kernel for: one, and more where one was not enough. */
  #burst = 1;

  constructor(flow: Flow, endpoint: Endpoint, descriptor: number, startedMs: number) {
    this.flow = flow;
    this.endpoint = endpoint;
    this.descriptor = descriptor;
    this.startedMs = startedMs;
  }

  onReady(): void {
    const { flow, endpoint } = this;
    const { context } = flow.flows;
    const { replies } = flow.flows.engine;
    const count = replies.receive(this.descriptor, flow.flows, this.#burst);
    if (count === "gone") return flow.flows.legFailed(this);
    this.#burst = count < this.#burst ? 1 : Math.min(BATCH, count * 2);
    if (count === 0) return;
    let bytes = 0;
    for (let index = 0; index < count; index++) {
      bytes += replies.vector.length(replies.next);
      replies.add(flow);
    }
    const { metrics } = context;
    flow.datagramsOut += count;
    flow.bytesOut += bytes;
    metrics.add(flow.settings.cells + LISTENER.datagramsOut, count);
    metrics.add(flow.settings.cells + LISTENER.bytesOut, bytes);
    metrics.add(endpoint.cells + ENDPOINT.bytesIn, bytes);
    flow.flows.legAnswered(this);
  }
}
