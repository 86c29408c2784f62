/**
 * Follows a WebSocket's frames as they pass, without looking into them: whether one is complete, so that a frame of our own
 * may be put behind it (RFC 6455 section 5.2).
 */

const MAX_HEADER_BYTES = 14;

export class FrameBoundary {
  readonly #header = Buffer.alloc(MAX_HEADER_BYTES);
  #headerLength = 0;
  /** Bytes of payload that are still to come. */
  #remaining = 0;

  /** The last frame that began is complete. */
  get isBetweenFrames(): boolean {
    return this.#headerLength === 0 && this.#remaining === 0;
  }

  feed(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#remaining > 0) {
        const step = Math.min(this.#remaining, end - at);
        this.#remaining -= step;
        at += step;
        continue;
      }
      this.#header[this.#headerLength++] = bytes[at++] as number;
      if (this.#headerLength === this.#headerBytes()) {
        this.#remaining = this.#payloadBytes();
        this.#headerLength = 0;
      }
    }
  }

  #headerBytes(): number {
    if (this.#headerLength < 2) return 2;
    const second = this.#header[1] as number;
    const length = second & 0x7f;
    const extended = length === 127 ? 8 : length === 126 ? 2 : 0;
    return 2 + extended + ((second & 0x80) === 0 ? 0 : 4);
  }

  #payloadBytes(): number {
    const length = (this.#header[1] as number) & 0x7f;
    if (length < 126) return length;
    return length === 126 ? this.#header.readUInt16BE(2) : Number(this.#header.readBigUInt64BE(2));
  }
}

/** What a server says that goes away (RFC 6455 section 7.4.1): close frame, status 1001. */
export const GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9]);
