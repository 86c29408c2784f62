/** Bytes of a connection that were received and not read yet: part of a head, or requests that were sent ahead. */

const MIN_BYTES = 2_048;

export class ReceivedBytes {
  /** Undefined while there are none. The bytes start at 0 and end at `length`. */
  bytes: Buffer | undefined;
  length = 0;

  clear(): void {
    this.bytes = undefined;
    this.length = 0;
  }

  /** Keeps a range of a buffer that nobody else uses, without a copy when there is nothing before it. */
  keep(bytes: Buffer, start: number, end: number): void {
    if (this.bytes !== undefined) {
      this.append(bytes, start, end);
      return;
    }
    this.bytes = bytes.subarray(start, end);
    this.length = end - start;
  }

  /** Copies a range behind what is there. The buffer may be replaced by a larger one; it is returned. */
  append(bytes: Buffer, start: number, end: number): Buffer {
    const needed = this.length + end - start;
    let target = this.bytes;
    if (target === undefined || target.length < needed) {
      target = Buffer.allocUnsafeSlow(Math.max(MIN_BYTES, needed * 2));
      this.bytes?.copy(target, 0, 0, this.length);
      this.bytes = target;
    }
    bytes.copy(target, this.length, start, end);
    this.length = needed;
    return target;
  }

  /** Gives what is there away. */
  take(): Buffer | undefined {
    const taken = this.bytes?.subarray(0, this.length);
    this.clear();
    return taken;
  }
}
