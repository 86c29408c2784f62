/** The streams of one HTTP/2 connection to an endpoint. */
import { StreamIds } from "../../protocols/http2/stream-ids.ts";
import type { ClosedBy } from "../../protocols/http2/stream-state.ts";
import type { UpstreamStream } from "./upstream-stream.ts";

export class StreamTable {
  readonly #streams = new Map<number, UpstreamStream>();
  readonly #ids = new StreamIds("client");

  get size(): number {
    return this.#streams.size;
  }

  get(streamId: number): UpstreamStream | undefined {
    return this.#streams.get(streamId);
  }

  /** All of them now; they may come and go meanwhile. */
  all(): UpstreamStream[] {
    return [...this.#streams.values()];
  }

  /** The number that the stream gets, 0 when there are no more. */
  begin(stream: UpstreamStream): number {
    const streamId = this.#ids.begin();
    if (streamId !== 0) this.#streams.set(streamId, stream);
    return streamId;
  }

  /** False when it was not there. */
  remove(streamId: number, closedBy: ClosedBy): boolean {
    if (!this.#streams.delete(streamId)) return false;
    this.#ids.close(streamId, closedBy);
    return true;
  }

  /** What to do with a frame of `type` for a stream that is not there (a Verdict). */
  verdict(streamId: number, type: number): number {
    return this.#ids.onReceive(streamId, type);
  }

  /** Lets those send that wait to. Who has waited longest goes first, and then stands at the end: each gets its turn. */
  pump(home: { readonly sendable: number }): void {
    for (const [streamId, stream] of [...this.#streams]) {
      if (home.sendable <= 0) return;
      if (!stream.congested || this.#streams.get(streamId) !== stream) continue;
      this.#streams.delete(streamId);
      this.#streams.set(streamId, stream);
      stream.pump();
    }
  }
}
