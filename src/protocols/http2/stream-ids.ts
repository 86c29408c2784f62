/**
 * Which streams of a connection exist, have not begun, or have ended (RFC 9113 section 5.1.1). Only clients begin
 * streams, with odd numbers; pushed streams are refused, so no even one ever exists.
 */
import { FRAME, MAX_STREAM_ID } from "./frames.ts";
import {
  CLOSED_BY,
  type ClosedBy,
  CONNECTION_IS_WRONG,
  CONNECTION_STREAM_CLOSED,
  onReceiveClosed,
  VERDICT_FINE,
  VERDICT_IGNORE,
  type Verdict,
} from "./stream-state.ts";

/** How many closed streams are remembered of each list. */
const REMEMBERED = 256;

export class StreamIds {
  readonly #role: "server" | "client";
  /** Highest stream that began. */
  #highest = 0;
  // One list for each way, so that streams that end as they should do not push out those on which the peer, not knowing
  // of our reset yet, is still sending.
  readonly #byEndStream = new RecentIds();
  readonly #byOurReset = new RecentIds();
  readonly #byPeerReset = new RecentIds();

  /** `client`: we begin streams, with `begin`. `server`: the peer begins them. */
  constructor(role: "server" | "client") {
    this.#role = role;
  }

  /** Highest stream that began: what GOAWAY says. */
  get highest(): number {
    return this.#highest;
  }

  /** The number of the stream that begins now (client), or 0 when there are no more and a new connection is needed. */
  begin(): number {
    const next = this.#highest === 0 ? 1 : this.#highest + 2;
    if (next > MAX_STREAM_ID) return 0;
    this.#highest = next;
    return next;
  }

  /** Remembers a stream that is closed and not kept any more. */
  close(streamId: number, closedBy: ClosedBy): void {
    if (closedBy === CLOSED_BY.ourReset) this.#byOurReset.add(streamId);
    else if (closedBy === CLOSED_BY.peerReset) this.#byPeerReset.add(streamId);
    else this.#byEndStream.add(streamId);
  }

  /**
   * What to do with a frame of `type` for a stream that is not kept: it is idle or closed. VERDICT_FINE for HEADERS means
   * that they begin the stream (server), which then has begun.
   */
  onReceive(streamId: number, type: number): Verdict {
    if (type === FRAME.priority) return VERDICT_FINE;
    if ((streamId & 1) === 0) return CONNECTION_IS_WRONG;
    if (streamId > this.#highest) {
      if (type !== FRAME.headers || this.#role === "client") return CONNECTION_IS_WRONG;
      this.#highest = streamId;
      return VERDICT_FINE;
    }
    if (this.#byOurReset.has(streamId)) return onReceiveClosed(CLOSED_BY.ourReset, type);
    if (this.#byPeerReset.has(streamId)) return onReceiveClosed(CLOSED_BY.peerReset, type);
    if (this.#byEndStream.has(streamId)) return onReceiveClosed(CLOSED_BY.endStream, type);
    if (type === FRAME.rstStream || type === FRAME.windowUpdate) return VERDICT_IGNORE;
    // A stream that was never opened, as later ones began before it, looks the same as one that ended long ago.
    return type === FRAME.headers ? CONNECTION_IS_WRONG : CONNECTION_STREAM_CLOSED;
  }
}

/** The numbers that were added last. Looked at only when a peer does what it seldom does, so a plain list will do. */
class RecentIds {
  readonly #ids: number[] = [];
  #next = 0;

  add(streamId: number): void {
    this.#ids[this.#next] = streamId;
    this.#next = (this.#next + 1) % REMEMBERED;
  }

  has(streamId: number): boolean {
    return this.#ids.includes(streamId);
  }
}
