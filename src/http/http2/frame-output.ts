/** What a connection sends: frames are gathered while events are handled and leave in one write. */
import type { Head } from "../../protocols/http1/head.ts";
import { SendWindow } from "../../protocols/http2/flow-window.ts";
import * as frames from "../../protocols/http2/frame-writers.ts";
import { FLAG, FRAME, MIN_MAX_FRAME_BYTES } from "../../protocols/http2/frames.ts";
import { HpackEncoder } from "../../protocols/http2/hpack-encoder.ts";
import { ByteWriter } from "../../transport/byte-writer.ts";
import { type Flushable, flushLater } from "../../transport/flush-later.ts";
import { encodeHead, encodeLines } from "./response-fields.ts";

/** The socket's side. */
export interface FrameSender {
  /** The client does not take what it was sent: no DATA for now. */
  readonly congested: boolean;
  /** Bytes of DATA go out. */
  dataMoved(bytes: number): void;
  /** Sends the bytes before `end`; the buffer is used again. */
  sendFrames(bytes: Buffer, end: number): void;
}

const BUFFER_BYTES = 16_384;
/** Above this the gathered frames leave at once, so that the buffer stays small. */
const FLUSH_BYTES = 65_536;
/** Buffers that have grown beyond this are not used again. */
const KEPT_BYTES = 131_072;
const MAX_KEPT = 64;
/** Where the flags stand in a frame. */
const FLAGS_OFFSET = 4;
const NONE = -1;

/** A connection has a buffer only while something is waiting in it: most connections are idle. */
const free: ByteWriter[] = [];

export class FrameOutput implements Flushable {
  flushPending = false;
  /** What the client lets us send, over all streams. */
  readonly window = new SendWindow();
  readonly encoder: HpackEncoder;
  maxFrameBytes: number = MIN_MAX_FRAME_BYTES;
  readonly #sender: FrameSender;
  #writer: ByteWriter | undefined;
  /** Where the last DATA frame begins, while it may still be told to be the last of its stream. */
  #lastData = NONE;
  #lastDataStream = 0;

  constructor(sender: FrameSender, tableBytes: number) {
    this.#sender = sender;
    this.encoder = new HpackEncoder(tableBytes);
  }

  /** Bytes of DATA that may go out now, over all streams. */
  get sendable(): number {
    return this.#sender.congested ? 0 : this.window.available;
  }

  settings(pairs: readonly number[]): void {
    frames.writeSettings(this.#begin(), pairs);
  }

  settingsAck(): void {
    frames.writeSettingsAck(this.#begin());
  }

  pingAck(bytes: Buffer, start: number): void {
    frames.writePing(this.#begin(), bytes, start, true);
  }

  windowUpdate(streamId: number, increment: number): void {
    frames.writeWindowUpdate(this.#begin(), streamId, increment);
  }

  reset(streamId: number, code: number): void {
    frames.writeRstStream(this.#begin(), streamId, code);
    this.#lastData = NONE;
  }

  goaway(lastStreamId: number, code: number, reason: string): void {
    frames.writeGoaway(this.#begin(), lastStreamId, code, reason);
    this.#lastData = NONE;
  }

  /** An endpoint's head. `lines`: more fields, each with its line break. */
  head(streamId: number, head: Head, status: number, lines: string, endStream: boolean): void {
    const writer = this.#begin();
    const mark = frames.beginHeaders(writer);
    encodeHead(this.encoder, writer, head, status);
    if (lines !== "") encodeLines(this.encoder, writer, lines);
    this.#endHeaders(writer, mark, streamId, endStream);
  }

  /** A head of our own. */
  ownHead(streamId: number, status: number, lines: string, endStream: boolean): void {
    const writer = this.#begin();
    const mark = frames.beginHeaders(writer);
    this.encoder.begin(writer);
    this.encoder.status(writer, status);
    encodeLines(this.encoder, writer, lines);
    this.#endHeaders(writer, mark, streamId, endStream);
  }

  trailers(streamId: number, lines: string): void {
    const writer = this.#begin();
    const mark = frames.beginHeaders(writer);
    this.encoder.begin(writer);
    encodeLines(this.encoder, writer, lines);
    this.#endHeaders(writer, mark, streamId, true);
  }

  /** DATA of at most `sendable` bytes, taken from the connection's window. */
  data(streamId: number, bytes: Buffer, start: number, end: number): void {
    this.window.take(end - start);
    this.#sender.dataMoved(end - start);
    for (let from = start; from < end; from += this.maxFrameBytes) {
      const to = Math.min(end, from + this.maxFrameBytes);
      const writer = this.#begin();
      this.#lastData = writer.length;
      this.#lastDataStream = streamId;
      frames.writeData(writer, streamId, bytes, from, to, false);
      if (writer.length >= FLUSH_BYTES) this.flush();
    }
  }

  /** Ends a stream: by a flag on what is still here of its DATA, or by an empty frame. */
  endStream(streamId: number): void {
    const writer = this.#begin();
    if (this.#lastData !== NONE && this.#lastDataStream === streamId) {
      writer.bytes[this.#lastData + FLAGS_OFFSET] = FLAG.endStream;
      this.#lastData = NONE;
    } else frames.writeFrameHeader(writer, 0, FRAME.data, FLAG.endStream, streamId);
  }

  flush(): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    this.#writer = undefined;
    this.#lastData = NONE;
    this.#sender.sendFrames(writer.bytes, writer.length);
    writer.clear();
    if (writer.bytes.length <= KEPT_BYTES && free.length < MAX_KEPT) free.push(writer);
  }

  #begin(): ByteWriter {
    if (this.#writer === undefined) {
      this.#writer = free.pop() ?? new ByteWriter(BUFFER_BYTES);
      flushLater(this);
    }
    return this.#writer;
  }

  #endHeaders(writer: ByteWriter, mark: number, streamId: number, endStream: boolean): void {
    frames.endHeaders(writer, mark, streamId, endStream, this.maxFrameBytes);
    this.#lastData = NONE;
  }
}
