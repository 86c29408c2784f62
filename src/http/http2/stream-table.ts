/** The streams of one connection: those that are there, those that were, and those that wait for a window. */

import type { SendWindow } from "../../protocols/http2/flow-window.ts";
import { DEFAULT_WINDOW } from "../../protocols/http2/frames.ts";
import { StreamIds } from "../../protocols/http2/stream-ids.ts";
import type { ClosedBy } from "../../protocols/http2/stream-state.ts";
import type { Deadline, DeadlineSweep } from "../../transport/deadlines.ts";

/** What the table must know of a stream. */
export interface TableStream extends Deadline {
  readonly id: number;
  readonly sendWindow: SendWindow;
  /** There may be room for what it has to send. */
  pump(): void;
}

export class StreamTable<Stream extends TableStream> {
  readonly ids = new StreamIds("server");
  /** What the client lets each new stream send. */
  initialSendWindow = DEFAULT_WINDOW;
  readonly #sweep: DeadlineSweep;
  readonly #streams = new Map<number, Stream>();
  readonly #waiting = new Set<Stream>();

  constructor(sweep: DeadlineSweep) {
    this.#sweep = sweep;
  }

  get size(): number {
    return this.#streams.size;
  }

  get(streamId: number): Stream | undefined {
    return this.#streams.get(streamId);
  }

  add(stream: Stream): void {
    this.#streams.set(stream.id, stream);
  }

  /** False when it was not there any more. */
  remove(stream: Stream, closedBy: ClosedBy): boolean {
    if (!this.#streams.delete(stream.id)) return false;
    this.#waiting.delete(stream);
    this.#sweep.remove(stream);
    this.ids.close(stream.id, closedBy);
    return true;
  }

  /** As they are now, for a caller that removes some of them. */
  all(): Stream[] {
    return [...this.#streams.values()];
  }

  /** The stream has DATA that no window had room for. */
  wait(stream: Stream): void {
    this.#waiting.add(stream);
  }

  /** There may be room for DATA again. Who gets none of it now is the first to be asked the next time. */
  pump(): void {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const stream of waiting) if (this.#streams.get(stream.id) === stream) stream.pump();
  }

  /** The client's SETTINGS_INITIAL_WINDOW_SIZE. False when a window got larger than a window may be. */
  setInitialSendWindow(bytes: number): boolean {
    const before = this.initialSendWindow;
    this.initialSendWindow = bytes;
    for (const stream of this.#streams.values()) {
      if (!stream.sendWindow.adjust(before, bytes)) return false;
    }
    return true;
  }
}
