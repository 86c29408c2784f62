/** Where encoders write: a buffer that grows. Frames and field blocks are put together in one, to leave in one write. */
export interface ByteSink {
  bytes: Buffer;
  /** How much of `bytes` is written. */
  length: number;
  /** Makes room for `count` more bytes; may replace `bytes`. */
  reserve(count: number): void;
}
