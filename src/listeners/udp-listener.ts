/** Reads what clients send to one UDP listener and hands it to udp/. */
import type { DatagramEngine } from "../transport/datagram-engine.ts";
import { closeDescriptor } from "../transport/listening-socket.ts";
import type { UdpContext } from "../udp/context.ts";
import { Flows } from "../udp/flows.ts";
import { finish, leaveEndpoint } from "../udp/handle-datagram.ts";
import type { UdpSnapshot } from "../udp/snapshot.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";

export class UdpListener {
  /** As written in the configuration. */
  readonly address: string;
  readonly #flows: Flows;
  #reading = false;

  /** Reads from a bound socket that the supervisor has opened. What comes before `serve` waits there. */
  constructor(descriptor: number, settings: UdpSnapshot, address: string, context: UdpContext, engine: DatagramEngine) {
    this.address = address;
    this.#flows = new Flows(context, engine, descriptor, settings);
    this.#flows.onEnd = () => this.#closeWhenDone();
  }

  /** Flows that have not ended. */
  get openConnections(): number {
    return this.#flows.table.size;
  }

  /** Serves from now on, with these settings. */
  serve(settings: UdpSnapshot): void {
    this.#flows.settings = settings;
    if (this.#reading || this.#flows.closed) return;
    this.#reading = true;
    this.#flows.engine.loop.watch(this.#flows.descriptor, this.#flows);
  }

  /** No flow begins any more; those that there are go on. */
  drain(): void {
    this.#flows.draining = true;
    this.#closeWhenDone();
  }

  /** Leaves what clients send to whoever else reads from the same socket. Answers still reach them. */
  stop(): void {
    if (!this.#reading) return;
    this.#reading = false;
    this.#flows.engine.loop.unwatch(this.#flows.descriptor);
  }

  /** The endpoint is out of service: clients' next datagrams go elsewhere. */
  endFlowsTo(endpoint: Endpoint): void {
    for (const flow of [...this.#flows.table.values()]) leaveEndpoint(flow, endpoint);
  }

  closeConnections(): void {
    this.#flows.draining = true;
    for (const flow of this.#flows.table.values()) {
      flow.failure ??= "E_SHUTTING_DOWN";
      finish(flow);
    }
    this.#closeWhenDone();
  }

  /** The last answer may still be waiting to be sent. */
  #closeWhenDone(): void {
    if (this.#flows.closed || !this.#flows.draining || this.openConnections > 0) return;
    this.#flows.closed = true;
    this.stop();
    this.#flows.engine.replies.flush();
    closeDescriptor(this.#flows.descriptor);
  }
}
