/** What one stream has to send and may not yet: goes out as the windows of stream and connection open. */
import type { SendWindow } from "./flow-window.ts";

/** Where DATA goes. */
export interface DataSink {
  /** Bytes that may go out now, over all streams. */
  readonly sendable: number;
  /** Writes DATA of at most `sendable` bytes and counts them. */
  writeData(streamId: number, bytes: Buffer, start: number, end: number): void;
}

interface Waiting {
  readonly bytes: Buffer;
  start: number;
  readonly end: number;
}

export class SendQueue {
  readonly #streamId: number;
  readonly #window: SendWindow;
  readonly #sink: DataSink;
  #waiting: Waiting[] | undefined;

  constructor(streamId: number, window: SendWindow, sink: DataSink) {
    this.#streamId = streamId;
    this.#window = window;
    this.#sink = sink;
  }

  get isEmpty(): boolean {
    return this.#waiting === undefined;
  }

  /** Sends what may go out now and keeps the rest, as a copy when the buffer is `reused` by the caller. */
  send(bytes: Buffer, start: number, end: number, reused: boolean): void {
    const sent = this.#waiting === undefined ? this.#write(bytes, start, end) : start;
    if (sent === end) return;
    const rest = bytes.subarray(sent, end);
    this.#waiting ??= [];
    this.#waiting.push({ bytes: reused ? Buffer.from(rest) : rest, start: 0, end: end - sent });
  }

  /** There may be room again. True when the last of what was waiting has gone out by this. */
  pump(): boolean {
    const waiting = this.#waiting;
    if (waiting === undefined) return false;
    while (waiting.length > 0) {
      const first = waiting[0] as Waiting;
      first.start = this.#write(first.bytes, first.start, first.end);
      if (first.start < first.end) return false;
      waiting.shift();
    }
    this.#waiting = undefined;
    return true;
  }

  clear(): void {
    this.#waiting = undefined;
  }

  #write(bytes: Buffer, start: number, end: number): number {
    const room = Math.min(end - start, this.#window.available, this.#sink.sendable);
    if (room <= 0) return start;
    this.#window.take(room);
    this.#sink.writeData(this.#streamId, bytes, start, start + room);
    return start + room;
  }
}
