/** What a FrameReader tells, in the order it came. All methods are called synchronously; bytes are only lent. */
export interface FrameHandler {
  /**
   * A DATA frame begins. `flowBytes` is what it takes from both windows, padding included (RFC 9113 section 6.9.1): told
   * before its bytes come, so that a peer that sends more than it may is stopped at once.
   */
  dataBegin(streamId: number, flowBytes: number): void;
  /** Bytes of the DATA frame that began, without padding, in as many pieces as they come in. Never empty. */
  data(streamId: number, bytes: Buffer, start: number, end: number): void;
  /** The DATA frame is complete. `flowBytes` and what came in `data` differ by `paddingBytes`, to be given back at once. */
  dataEnd(streamId: number, endStream: boolean, paddingBytes: number): void;
  /**
   * A whole field block. It must be decoded in any case, for the sake of the tables. With an `error` that is not 0 the
   * stream must then be reset with this code (a stream that depends on itself, RFC 7540 section 5.3.1).
   */
  headers(streamId: number, block: Buffer, start: number, end: number, endStream: boolean, error: number): void;
  /** PRIORITY: nothing to do, apart from counting it. */
  priority(streamId: number): void;
  rstStream(streamId: number, code: number): void;
  /** One setting of a SETTINGS frame, already checked; unknown ones too. `settingsEnd` follows the last. */
  setting(id: number, value: number): void;
  /** All of a SETTINGS frame was told: it must be acknowledged now. */
  settingsEnd(): void;
  settingsAck(): void;
  /** PING with eight bytes at `start`, to be answered with the same. */
  ping(bytes: Buffer, start: number): void;
  pingAck(bytes: Buffer, start: number): void;
  /** The debug data is at `start`..`end`. */
  goaway(lastStreamId: number, code: number, bytes: Buffer, start: number, end: number): void;
  /** `increment` is never 0. */
  windowUpdate(streamId: number, increment: number): void;
  /** A frame of a type that is not known; ignored (RFC 9113 section 4.1), told to be counted. */
  unknownFrame(type: number, streamId: number): void;
  /** The frame is wrong for its stream only: RST_STREAM with `code`, after looking whether the stream is idle or closed. */
  streamError(streamId: number, code: number, reason: string): void;
  /** The connection must end: GOAWAY with `code`. The reader reads nothing any more. */
  connectionError(code: number, reason: string): void;
}
