/**
 * What has changed and why, for whoever watches: the last events are kept, so that a watcher who was away for a moment can
 * ask for what it has missed. Every event is a line of the program log too, written where it happens.
 */
import type { Clock } from "../base/clock.ts";

export type EventType =
  | "endpoint.up"
  | "endpoint.down"
  | "endpoint.degraded"
  | "endpoint.agent"
  | "endpoint.held"
  | "endpoint.trusted"
  | "endpoint.state"
  | "endpoint.weight"
  | "endpoint.drained"
  | "endpoint.added"
  | "endpoint.removed"
  | "endpoint.ejected"
  | "endpoint.returned"
  | "circuit.opened"
  | "circuit.tried"
  | "circuit.closed"
  | "pool.panics"
  | "pool.recovered"
  | "pool.blocked"
  | "pool.released"
  | "listener.overloaded"
  | "listener.relieved"
  | "limits.alone"
  | "limits.shared"
  | "config.reloaded"
  | "config.refused"
  | "worker.ended"
  | "worker.started";

export interface EventDetails {
  readonly listener?: string;
  readonly pool?: string;
  readonly endpoint?: string;
  /** A sentence for people. */
  readonly reason: string;
  readonly from?: string | number;
  readonly to?: string | number;
}

/** What whoever notices a change has to say of it. */
export interface EventReport extends EventDetails {
  readonly type: EventType;
}

export interface EvenkeelEvent extends EventReport {
  /** Grows with every event, over restarts too. */
  readonly id: number;
  /** ISO 8601, UTC. */
  readonly time: string;
}

/** Events that are kept. */
const CAPACITY = 1_000;

export class EventLog {
  readonly #clock: Clock;
  readonly #events: EvenkeelEvent[] = [];
  readonly #watchers = new Set<(event: EvenkeelEvent) => void>();
  readonly #firstId: number;
  #lastId: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    // Numbers of an earlier run are all below those of this one: a watcher that comes back misses nothing unnoticed.
    this.#lastId = Math.floor(clock.wallNow()) * 1_000;
    this.#firstId = this.#lastId + 1;
  }

  get lastId(): number {
    return this.#lastId;
  }

  publish(type: EventType, details: EventDetails): void {
    const event = { id: ++this.#lastId, type, time: new Date(this.#clock.wallNow()).toISOString(), ...details };
    this.#events.push(event);
    if (this.#events.length > CAPACITY) this.#events.shift();
    for (const watcher of [...this.#watchers]) watcher(event);
  }

  /** What came after the event `id`, 0 for all there is. `missed`: there were more, which are not kept any longer. */
  since(id: number): { readonly events: readonly EvenkeelEvent[]; readonly missed: boolean } {
    const first = this.#lastId - this.#events.length + 1;
    const missed = id === 0 ? first > this.#firstId : id + 1 < first;
    return { events: this.#events.filter((event) => event.id > id), missed };
  }

  /** Events of one endpoint that are still kept, the oldest first. */
  of(pool: string, endpoint: string): readonly EvenkeelEvent[] {
    return this.#events.filter((event) => event.pool === pool && event.endpoint === endpoint);
  }

  /** Tells `watcher` of every event from now on; returns how to stop. */
  watch(watcher: (event: EvenkeelEvent) => void): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }
}
