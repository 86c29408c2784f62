/**
 * Follows the frames of one direction of a WebSocket (RFC 6455 section 5.2) without looking into them: where one ends,
 * so that a frame of our own can be put between two of theirs.
 */

const OPCODE_MASK = 0x0f;
const OPCODE_CLOSE = 8;
const MASKED = 0x80;
const LENGTH_MASK = 0x7f;
const MASK_BYTES = 4;

export class FrameTracker {
  /** A Close frame has begun: nothing may follow it. */
  closing = false;
  /** Bytes of the header at hand that were seen, and that there are; 2 of them tell how many there are. */
  #seen = 0;
  #headerBytes = 2;
  /** Bytes of the header that are a mask and not a length. */
  #maskBytes = 0;
  #length = 0;
  /** Bytes of payload still to come. */
  #remaining = 0;

  /** Nothing has been sent of a frame whose end has not. */
  get betweenFrames(): boolean {
    return this.#seen === 0 && this.#remaining === 0;
  }

  /** The bytes from `start` to `end` come next. */
  consume(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#remaining > 0) {
        const take = Math.min(this.#remaining, end - at);
        this.#remaining -= take;
        at += take;
      } else this.#readHeader(bytes[at++] as number);
    }
  }

  #readHeader(byte: number): void {
    const index = this.#seen++;
    if (index === 0) {
      if ((byte & OPCODE_MASK) === OPCODE_CLOSE) this.closing = true;
      return;
    }
    if (index === 1) this.#readLength(byte);
    else if (index < this.#headerBytes - this.#maskBytes) this.#length = this.#length * 256 + byte;
    if (this.#seen < this.#headerBytes) return;
    this.#seen = 0;
    this.#remaining = this.#length;
  }

  #readLength(byte: number): void {
    const length = byte & LENGTH_MASK;
    const extended = length === 127 ? 8 : length === 126 ? 2 : 0;
    this.#maskBytes = (byte & MASKED) !== 0 ? MASK_BYTES : 0;
    this.#headerBytes = 2 + extended + this.#maskBytes;
    this.#length = extended === 0 ? length : 0;
  }
}
