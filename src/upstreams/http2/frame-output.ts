/** What goes out on one HTTP/2 connection to an endpoint: frames are gathered, and leave in one write. */
import type { Head } from "../../protocols/http1/head.ts";
import { SendWindow } from "../../protocols/http2/flow-window.ts";
import * as frames from "../../protocols/http2/frame-writers.ts";
import { FLAG, FRAME, MIN_MAX_FRAME_BYTES } from "../../protocols/http2/frames.ts";
import { HpackEncoder } from "../../protocols/http2/hpack-encoder.ts";
import { ByteWriter } from "../../transport/byte-writer.ts";
import { flushLater } from "../../transport/flush-later.ts";
import { encodeRequest, encodeTrailers } from "./request-fields.ts";

const OUTPUT_BYTES = 16_384;
const FLUSH_BYTES = 65_536;
const TABLE_BYTES = 4_096;
/** Where a frame's header has its flags. */
const FLAGS_OFFSET = 4;

export class FrameOutput {
  flushPending = false;
  /** Of the connection: what may be sent over all streams. */
  readonly window = new SendWindow();
  /** The endpoint's SETTINGS_MAX_FRAME_SIZE. */
  maxFrameBytes = MIN_MAX_FRAME_BYTES;
  readonly #bytes = new ByteWriter(OUTPUT_BYTES);
  readonly #encoder = new HpackEncoder(TABLE_BYTES);
  readonly #write: (bytes: Buffer, end: number) => void;
  /** Flags of the last frame of `#lastStream` that is still here, so that it can be made the last of all; -1 for none. */
  #lastFlags = -1;
  #lastStream = 0;

  /** `write` gets a buffer that is used again. */
  constructor(write: (bytes: Buffer, end: number) => void) {
    this.#write = write;
  }

  /** Sends what has been gathered. */
  flush(): void {
    this.#lastFlags = -1;
    const { length } = this.#bytes;
    if (length === 0) return;
    this.#bytes.clear();
    this.#write(this.#bytes.bytes, length);
  }

  /** The preface, our SETTINGS (pairs of a SETTING and its value), and `window` bytes more for the connection. */
  begin(settings: readonly number[], window: number): void {
    frames.writePreface(this.#bytes);
    frames.writeSettings(this.#bytes, settings);
    frames.writeWindowUpdate(this.#bytes, 0, window);
    flushLater(this);
  }

  request(streamId: number, head: Head, scheme: "http" | "https", protocol: string, endStream: boolean): void {
    const mark = frames.beginHeaders(this.#bytes);
    encodeRequest(this.#encoder, this.#bytes, head, scheme, protocol);
    frames.endHeaders(this.#bytes, mark, streamId, endStream, this.maxFrameBytes);
    this.#mayEndAt(mark, streamId);
  }

  trailers(streamId: number, lines: string): void {
    const mark = frames.beginHeaders(this.#bytes);
    encodeTrailers(this.#encoder, this.#bytes, lines);
    frames.endHeaders(this.#bytes, mark, streamId, true, this.maxFrameBytes);
    this.#sealed(streamId);
  }

  /** DATA; must not be more than the windows allow. Counted in the connection's. */
  data(streamId: number, bytes: Buffer, start: number, end: number): void {
    this.window.take(end - start);
    for (let from = start; from < end; from += this.maxFrameBytes) {
      const mark = this.#bytes.length;
      frames.writeData(this.#bytes, streamId, bytes, from, Math.min(end, from + this.maxFrameBytes), false);
      this.#mayEndAt(mark, streamId);
      if (this.#bytes.length >= FLUSH_BYTES) this.flush();
    }
  }

  /** Ends the stream: by a flag on what is still here of it, or by an empty frame. */
  end(streamId: number): void {
    const { bytes } = this.#bytes;
    if (this.#lastFlags >= 0 && this.#lastStream === streamId)
      bytes[this.#lastFlags] = (bytes[this.#lastFlags] as number) | FLAG.endStream;
    else frames.writeFrameHeader(this.#bytes, 0, FRAME.data, FLAG.endStream, streamId);
    this.#sealed(streamId);
  }

  reset(streamId: number, code: number): void {
    frames.writeRstStream(this.#bytes, streamId, code);
    this.#sealed(streamId);
  }

  windowUpdate(streamId: number, increment: number): void {
    frames.writeWindowUpdate(this.#bytes, streamId, increment);
    flushLater(this);
  }

  settingsAck(): void {
    frames.writeSettingsAck(this.#bytes);
    flushLater(this);
  }

  ping(bytes: Buffer, start: number, ack: boolean): void {
    frames.writePing(this.#bytes, bytes, start, ack);
    flushLater(this);
  }

  /** The last word; sent at once. */
  goaway(code: number, reason: string): void {
    frames.writeGoaway(this.#bytes, 0, code, reason);
    this.flush();
  }

  setTableLimit(bytes: number): void {
    this.#encoder.setPeerTableLimit(bytes);
  }

  #mayEndAt(mark: number, streamId: number): void {
    this.#lastFlags = mark + FLAGS_OFFSET;
    this.#lastStream = streamId;
    flushLater(this);
  }

  /** Nothing of this stream follows. */
  #sealed(streamId: number): void {
    if (this.#lastStream === streamId) this.#lastFlags = -1;
    flushLater(this);
  }
}
