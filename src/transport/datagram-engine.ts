/** What all UDP listeners of a worker share: the wait for datagrams, and the memory that they pass through. */
import { ReceiveBatch, ReplyBatch } from "./datagram-socket.ts";
import { ReadinessLoop } from "./readiness-loop.ts";

export interface DatagramEngineOptions {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Calls `run` once the runtime has dealt with the events that it has. */
  readonly afterEvents: (run: () => void) => void;
}

export class DatagramEngine {
  readonly loop: ReadinessLoop;
  readonly received = new ReceiveBatch();
  readonly replies = new ReplyBatch();

  constructor({ now, afterEvents }: DatagramEngineOptions) {
    this.loop = new ReadinessLoop({ now, afterEvents, afterRound: () => this.replies.flush() });
  }
}
