/** All flows of one UDP listener in this worker, and the socket that their clients speak to. */
import { ENDPOINT, LISTENER } from "../observability/metrics-table.ts";
import type { DatagramEngine } from "../transport/datagram-engine.ts";
import { isBoundToAll } from "../transport/datagram-socket.ts";
import { BATCH } from "../transport/message-vector.ts";
import type { Watcher } from "../transport/readiness-loop.ts";
import { addressLength, ipAt, ipKey, type PlaceKey, placeKey, portAt } from "../transport/socket-address.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { UdpContext } from "./context.ts";
import type { Flow, FlowOrigin, FlowOwner, Leg } from "./flow.ts";
import { FlowTable } from "./flow-table.ts";
import { answered, beginFlow, expire, fail, legFor } from "./handle-datagram.ts";
import type { UdpSnapshot } from "./snapshot.ts";
import { Unreachable } from "./unreachable.ts";

/** Full batches that are taken before somebody else gets a turn. */
const MAX_BATCHES = 4;

export class Flows implements Watcher, FlowOwner {
  settings: UdpSnapshot;
  readonly context: UdpContext;
  readonly engine: DatagramEngine;
  readonly descriptor: number;
  readonly table = new FlowTable<Flow>();
  readonly unreachable = new Unreachable<Endpoint>();
  /** No flow begins any more. */
  draining = false;
  /** When the datagrams that are looked at now were received. */
  nowMs = 0;
  /** The socket is closed. */
  closed = false;
  /** Called when a flow has ended. */
  onEnd: () => void = () => {};
  readonly #manyAddresses: boolean;
  // Datagrams in a row that go to the same endpoint socket leave together.
  #run: Leg | undefined;
  #runStart = 0;
  #runCount = 0;

  /** `descriptor`: a bound socket. */
  constructor(context: UdpContext, engine: DatagramEngine, descriptor: number, settings: UdpSnapshot) {
    this.context = context;
    this.engine = engine;
    this.descriptor = descriptor;
    this.settings = settings;
    this.#manyAddresses = isBoundToAll(descriptor);
  }

  onReady(): void {
    const { received } = this.engine;
    for (let batch = 0; batch < MAX_BATCHES && !this.closed; batch++) {
      const count = received.receive(this.descriptor, this.settings.maxDatagramBytes, this.#manyAddresses);
      this.nowMs = this.context.clock.now();
      for (let slot = 0; slot < count; slot++) this.#take(slot);
      this.#sendRun();
      if (count < BATCH) return;
    }
  }

  datagramsLost(count: number): void {
    this.context.metrics.add(this.settings.cells + LISTENER.datagramsDropped, count);
  }

  flowExpired(flow: Flow): void {
    expire(flow);
  }

  flowEnded(): void {
    this.onEnd();
  }

  legAnswered(leg: Leg): void {
    answered(leg);
  }

  legFailed(leg: Leg): void {
    fail(leg);
  }

  #take(slot: number): void {
    const { vector } = this.engine.received;
    if (vector.isTruncated(slot)) return this.datagramsLost(1);
    const leg = this.#legOf(slot);
    if (leg === undefined) return this.datagramsLost(1);
    const { flow } = leg;
    flow.deadlineMs = this.nowMs + flow.settings.idleMs;
    flow.datagramsIn++;
    flow.bytesIn += vector.length(slot);
    if (leg === this.#run) {
      this.#runCount++;
      return;
    }
    this.#sendRun();
    this.#run = leg;
    this.#runStart = slot;
    this.#runCount = 1;
  }

  #legOf(slot: number): Leg | undefined {
    const { vector } = this.engine.received;
    const local = this.#manyAddresses ? this.engine.received.localAddress(slot) : undefined;
    const client = placeKey(vector.names, vector.nameAt(slot));
    let flow = this.table.get(local?.key ?? 0, client);
    flow ??= beginFlow(this, this.#originOf(slot, client));
    return flow?.legs === undefined ? flow?.leg : legFor(flow);
  }

  #originOf(slot: number, client: PlaceKey): FlowOrigin {
    const { received } = this.engine;
    const { names } = received.vector;
    const at = received.vector.nameAt(slot);
    const local = this.#manyAddresses ? received.localAddress(slot) : undefined;
    const length = addressLength(names, at);
    return {
      local: local?.key ?? 0,
      client,
      clientAddress: length === 16 ? (names[at + 1] as number) : ipKey(names, at + 2),
      ip: ipAt(names, at),
      port: portAt(names, at),
      name: names.slice(at, at + length / 4),
      control: local?.control,
    };
  }

  #sendRun(): void {
    const leg = this.#run;
    if (leg === undefined) return;
    this.#run = undefined;
    const [start, end] = [this.#runStart, this.#runStart + this.#runCount];
    const { taken, peerIsGone } = this.engine.received.forward(leg.descriptor, start, end - start);
    countForwarded(leg, start, taken);
    if (taken === end - start) return;
    if (!peerIsGone) return this.datagramsLost(end - start - taken);
    // It was an earlier datagram that found nobody there: these have not left yet and go to another endpoint.
    fail(leg);
    for (let slot = start + taken; slot < end; slot++) this.#take(slot);
    this.#sendRun();
  }
}

function countForwarded(leg: Leg, start: number, count: number): void {
  const { settings, flows } = leg.flow;
  const { metrics } = flows.context;
  let bytes = 0;
  for (let slot = start; slot < start + count; slot++) bytes += flows.engine.received.vector.length(slot);
  metrics.add(settings.cells + LISTENER.datagramsIn, count);
  metrics.add(settings.cells + LISTENER.bytesIn, bytes);
  metrics.add(leg.endpoint.cells + ENDPOINT.bytesOut, bytes);
}
