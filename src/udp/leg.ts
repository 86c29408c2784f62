/** A flow's socket to one endpoint: what comes back on it goes to the flow's client. */
import { ENDPOINT, LISTENER } from "../observability/metrics-table.ts";
import { BATCH } from "../transport/message-vector.ts";
import type { Watcher } from "../transport/readiness-loop.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { Flow } from "./flow.ts";
import { legAnswered, legFailed } from "./handle-datagram.ts";

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
    if (count === "gone") return legFailed(this);
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
    legAnswered(this);
  }
}
