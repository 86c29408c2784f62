/** An endpoint for the tests of this folder: frames are written and read one by one, over a socket that is none. */
import type { Socket } from "bun";
import type { ErrorCode } from "../../base/errors.ts";
import * as frames from "../../protocols/http2/frame-writers.ts";
import { FLAG, FRAME, PREFACE, readUint24, readUint31, readUint32 } from "../../protocols/http2/frames.ts";
import type { HeaderList } from "../../protocols/http2/header-list.ts";
import { HeaderList as List } from "../../protocols/http2/header-list.ts";
import { HpackEncoder } from "../../protocols/http2/hpack-encoder.ts";
import { newDecoder, Output, type Pair, pairsOf } from "../../protocols/http2/testing.ts";
import type { Connection } from "../../transport/connection.ts";
import type { Borrower, UpstreamChannel } from "../upstream-channel.ts";

/** A frame that was sent to the endpoint; of HEADERS, its fields. */
export interface SentFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
  readonly fields: readonly Pair[];
}

/** Takes bytes until it is told to take fewer, and remembers them. */
export class FakeSocket {
  readonly written: Buffer[] = [];
  /** Bytes that it still takes. */
  room = Number.POSITIVE_INFINITY;
  ended: "" | "end" | "terminate" = "";
  readonly #connection: () => Connection;

  constructor(connection: () => Connection) {
    this.#connection = connection;
  }

  write(bytes: Buffer, start: number, length: number): number {
    const taken = Math.min(length, this.room);
    this.room -= taken;
    if (taken > 0) this.written.push(Buffer.from(bytes.subarray(start, start + taken)));
    return taken;
  }

  end(): void {
    this.#close("end");
  }

  terminate(): void {
    this.#close("terminate");
  }

  pause(): void {}
  resume(): void {}
  shutdown(): void {}

  getTLSVersion(): null {
    return null;
  }

  #close(how: "end" | "terminate"): void {
    if (this.ended !== "") return;
    this.ended = how;
    this.#connection().socketClosed(how === "terminate");
  }
}

export const asSocket = (socket: FakeSocket): Socket<Connection> => socket as unknown as Socket<Connection>;

/** The endpoint's half of a connection: what it was sent, as frames, and its own frames as bytes. */
export class FrameScript {
  readonly sent: SentFrame[] = [];
  readonly #output = new Output();
  readonly #encoder = new HpackEncoder();
  readonly #decoder = newDecoder();
  #received = Buffer.alloc(0);
  #prefaceSeen = false;

  /** Takes what was sent to the endpoint. */
  receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    if (!this.#prefaceSeen && this.#received.length >= PREFACE.length) {
      if (!this.#received.subarray(0, PREFACE.length).equals(PREFACE)) throw new Error("no preface");
      this.#prefaceSeen = true;
      this.#received = this.#received.subarray(PREFACE.length);
    }
    while (this.#prefaceSeen && this.#received.length >= 9) {
      const length = readUint24(this.#received, 0);
      if (this.#received.length < 9 + length) return;
      this.#take(this.#received.subarray(0, 9 + length));
      this.#received = this.#received.subarray(9 + length);
    }
  }

  #take(frame: Buffer): void {
    const [type = 0, flags = 0] = [frame[3], frame[4]];
    const payload = Buffer.from(frame.subarray(9));
    let fields: readonly Pair[] = [];
    if (type === FRAME.headers) {
      const list: HeaderList = new List();
      this.#decoder.decode(payload, 0, payload.length, list);
      fields = pairsOf(list);
    }
    this.sent.push({ type, flags, streamId: readUint31(frame, 5), payload, fields });
  }

  /** Frames of this type, and stream when one is given. */
  of(type: number, streamId?: number): SentFrame[] {
    return this.sent.filter((frame) => frame.type === type && (streamId ?? frame.streamId) === frame.streamId);
  }

  /** The field of a request. */
  field(streamId: number, name: string): string | undefined {
    return this.of(FRAME.headers, streamId)[0]?.fields.find(([key]) => key === name)?.[1];
  }

  /** All DATA of a stream. */
  body(streamId: number): Buffer {
    return Buffer.concat(this.of(FRAME.data, streamId).map(({ payload }) => payload));
  }

  /** Whether END_STREAM came. */
  ended(streamId: number): boolean {
    const frames = [...this.of(FRAME.data, streamId), ...this.of(FRAME.headers, streamId)];
    return frames.some(({ flags }) => (flags & FLAG.endStream) !== 0);
  }

  /** The code of the RST_STREAM that came; undefined for none. */
  reset(streamId: number): number | undefined {
    const frame = this.of(FRAME.rstStream, streamId)[0];
    return frame === undefined ? undefined : readUint32(frame.payload, 0);
  }

  /** The code of the GOAWAY that came; undefined for none. */
  goodbye(): number | undefined {
    const frame = this.of(FRAME.goaway)[0];
    return frame === undefined ? undefined : readUint32(frame.payload, 4);
  }

  /** The sum of WINDOW_UPDATEs that came for a stream; 0 for the connection. */
  credit(streamId: number): number {
    return this.of(FRAME.windowUpdate, streamId).reduce((sum, { payload }) => sum + readUint31(payload, 0), 0);
  }

  // ---- Frames of the endpoint

  settings(...pairs: number[]): Buffer {
    frames.writeSettings(this.#output, pairs);
    return this.#output.take();
  }

  headers(streamId: number, pairs: readonly Pair[], endStream = false): Buffer {
    const mark = frames.beginHeaders(this.#output);
    this.#encoder.begin(this.#output);
    for (const [name, value] of pairs) this.#encoder.text(this.#output, name, value);
    frames.endHeaders(this.#output, mark, streamId, endStream, 16_384);
    return this.#output.take();
  }

  data(streamId: number, body: string | Buffer, endStream = false): Buffer {
    const bytes = Buffer.from(body);
    frames.writeData(this.#output, streamId, bytes, 0, bytes.length, endStream);
    return this.#output.take();
  }

  rst(streamId: number, code: number): Buffer {
    frames.writeRstStream(this.#output, streamId, code);
    return this.#output.take();
  }

  goaway(lastStreamId: number, code = 0): Buffer {
    frames.writeGoaway(this.#output, lastStreamId, code);
    return this.#output.take();
  }

  windowUpdate(streamId: number, increment: number): Buffer {
    frames.writeWindowUpdate(this.#output, streamId, increment);
    return this.#output.take();
  }

  ping(ack = false): Buffer {
    frames.writePing(this.#output, Buffer.from("12345678"), 0, ack);
    return this.#output.take();
  }
}

/** An exchange that writes down what it is told. */
export class FakeBorrower implements Borrower {
  channel: UpstreamChannel | undefined;
  text = "";
  bytes = 0;
  failed: ErrorCode | undefined;
  closed: boolean | undefined;
  drains = 0;
  deadlines = 0;
  left = false;
  onData: (() => void) | undefined;
  readonly #request: string;

  /** `request` is sent as soon as there is a channel. */
  constructor(request: string) {
    this.#request = request;
  }

  /** Begins on a channel that is there already. */
  begin(channel: UpstreamChannel | undefined): this {
    this.channel = channel;
    this.send(this.#request);
    return this;
  }

  send(text: string | Buffer): void {
    const bytes = Buffer.from(text as string, "latin1");
    this.channel?.send(bytes, 0, bytes.length, true);
    bytes.fill(0);
  }

  release(reusable: boolean, nowMs: number): void {
    this.channel?.release(reusable, nowMs);
  }

  onConnected(channel: UpstreamChannel): void {
    this.begin(channel);
  }

  onConnectFailed(code: ErrorCode): void {
    this.failed = code;
  }

  onUpstreamData(bytes: Buffer): void {
    this.bytes += bytes.length;
    if (this.text.length < 65_536) this.text += bytes.toString("latin1");
    this.onData?.();
  }

  onUpstreamDrain(): void {
    this.drains++;
  }

  onUpstreamClosed(clean: boolean): void {
    this.closed = clean;
  }

  onUpstreamDeadline(): void {
    this.deadlines++;
  }

  /** As an exchange does, it lets go of the channel. */
  onEndpointLeft(): void {
    this.left = true;
    this.release(false, 0);
  }
}
