/** The DATA of one stream on its way to the client: what no window has room for waits here. */
import { SendWindow } from "../../protocols/http2/flow-window.ts";
import type { FrameOutput } from "./frame-output.ts";

interface Waiting {
  readonly bytes: Buffer;
  start: number;
  readonly end: number;
}

/** What became of a try to send what waits. */
export type Progress = "none" | "some" | "all";

export class StreamOutput {
  readonly window: SendWindow;
  readonly #streamId: number;
  readonly #output: FrameOutput;
  #waiting: Waiting[] | undefined;

  constructor(streamId: number, output: FrameOutput, initialWindow: number) {
    this.#streamId = streamId;
    this.#output = output;
    this.window = new SendWindow(initialWindow);
  }

  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  /** Sends what the windows allow, and keeps the rest. */
  send(bytes: Buffer, start: number, end: number): void {
    const sent = this.#waiting === undefined ? this.#write(bytes, start, end) : start;
    if (sent === end) return;
    this.#waiting ??= [];
    this.#waiting.push({ bytes, start: sent, end });
  }

  /** Sends what waits, as far as the windows allow now. */
  pump(): Progress {
    const waiting = this.#waiting;
    if (waiting === undefined) return "all";
    let progress: Progress = "none";
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      const sent = this.#write(first.bytes, first.start, first.end);
      if (sent > first.start) progress = "some";
      first.start = sent;
      if (sent < first.end) return progress;
      waiting.shift();
    }
    this.#waiting = undefined;
    return "all";
  }

  clear(): void {
    this.#waiting = undefined;
  }

  /** Returns where it stopped. */
  #write(bytes: Buffer, start: number, end: number): number {
    const room = Math.min(end - start, this.window.available, this.#output.sendable);
    if (room <= 0) return start;
    this.window.take(room);
    this.#output.data(this.#streamId, bytes, start, start + room);
    return start + room;
  }
}
