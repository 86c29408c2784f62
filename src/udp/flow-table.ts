/** Flows by who talks to whom, in bounded number: over all, and for each client address. Holds no sockets. */
import type { PlaceKey } from "../transport/socket-address.ts";

export interface FlowPlaces {
  /** The address that the client spoke to; 0 where there is only one. */
  readonly local: PlaceKey;
  /** The client's address and port. */
  readonly client: PlaceKey;
  /** The client's address. */
  readonly clientAddress: PlaceKey;
}

export class FlowTable<Flow extends FlowPlaces> {
  readonly #byLocal = new Map<PlaceKey, Map<PlaceKey, Flow>>();
  readonly #perClient = new Map<PlaceKey, number>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(local: PlaceKey, client: PlaceKey): Flow | undefined {
    return this.#byLocal.get(local)?.get(client);
  }

  /** Whether there is room for one more flow of this client. */
  hasRoom(clientAddress: PlaceKey, maxFlows: number, maxFlowsPerClient: number): boolean {
    return this.#size < maxFlows && (this.#perClient.get(clientAddress) ?? 0) < maxFlowsPerClient;
  }

  /** Takes a flow in whose place is free. */
  add(flow: Flow): void {
    let flows = this.#byLocal.get(flow.local);
    if (flows === undefined) {
      flows = new Map();
      this.#byLocal.set(flow.local, flows);
    }
    flows.set(flow.client, flow);
    this.#perClient.set(flow.clientAddress, (this.#perClient.get(flow.clientAddress) ?? 0) + 1);
    this.#size++;
  }

  /** False when it was not there. */
  remove(flow: Flow): boolean {
    const flows = this.#byLocal.get(flow.local);
    if (flows?.get(flow.client) !== flow) return false;
    flows.delete(flow.client);
    if (flows.size === 0) this.#byLocal.delete(flow.local);
    const left = (this.#perClient.get(flow.clientAddress) ?? 1) - 1;
    if (left === 0) this.#perClient.delete(flow.clientAddress);
    else this.#perClient.set(flow.clientAddress, left);
    this.#size--;
    return true;
  }

  values(): Flow[] {
    return [...this.#byLocal.values()].flatMap((flows) => [...flows.values()]);
  }
}
