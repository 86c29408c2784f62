/** The field block of a HEADERS frame and the CONTINUATION frames that follow it (RFC 9113 section 4.3), put together. */
import { BLOCK_TOO_LARGE, type FrameProblem, INTERLEAVED, TOO_MANY_CONTINUATIONS } from "./control-frames.ts";
import { copyBytes } from "./copy-bytes.ts";
import { FRAME } from "./frames.ts";

const EMPTY = Buffer.alloc(0);

export class FieldBlock {
  /** The stream it is for; 0 when no block is open. */
  streamId = 0;
  endStream = false;
  /** The error of its HEADERS frame, see FrameHandler.headers. */
  error = 0;
  bytes: Buffer = EMPTY;
  length = 0;
  #continuations = 0;
  readonly #maxBytes: number;
  readonly #maxContinuations: number;

  constructor(maxBytes: number, maxContinuations: number) {
    this.#maxBytes = maxBytes;
    this.#maxContinuations = maxContinuations;
  }

  open(streamId: number, endStream: boolean, error: number): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.error = error;
    this.length = 0;
    this.#continuations = 0;
  }

  /** Whether the next frame, by its header, may follow: nothing but CONTINUATION of the same stream, within the limits. */
  check(type: number, length: number, streamId: number): FrameProblem | undefined {
    if (type !== FRAME.continuation || streamId !== this.streamId) return INTERLEAVED;
    if (++this.#continuations > this.#maxContinuations) return TOO_MANY_CONTINUATIONS;
    return this.length + length > this.#maxBytes ? BLOCK_TOO_LARGE : undefined;
  }

  /** Adds a fragment, which must have been checked to be within the limits. */
  add(fragment: Buffer, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(needed, this.bytes.length * 2), this.#maxBytes));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    copyBytes(fragment, start, end, this.bytes, this.length);
    this.length = needed;
  }

  /** Closes the block and gives its memory away. */
  take(): Buffer {
    const { bytes } = this;
    this.bytes = EMPTY;
    this.streamId = 0;
    return bytes;
  }
}
