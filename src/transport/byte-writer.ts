/** Puts a message together in one buffer that is used again and again, so that it leaves in one write. */
export class ByteWriter {
  bytes: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  clear(): void {
    this.length = 0;
  }

  copy(source: Buffer, start: number, end: number): void {
    if (this.length + end - start > this.bytes.length) this.#grow(end - start);
    source.copy(this.bytes, this.length, start, end);
    this.length += end - start;
  }

  /** Appends text whose characters are all below 0x100; what is above is cut to its low byte. */
  text(text: string): void {
    if (this.length + text.length > this.bytes.length) this.#grow(text.length);
    this.length += this.bytes.write(text, this.length, "latin1");
  }

  /** Makes room for `count` more bytes, for callers that write into `bytes` themselves. */
  reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.#grow(count);
  }

  #grow(more: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.length + more));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}
