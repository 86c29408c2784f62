/** One HTTP/2 connection to an endpoint, with the streams of many exchanges on it. */
import type { ErrorCode } from "../../base/errors.ts";
import type { Head } from "../../protocols/http1/head.ts";
import { inspectResponse, inspectTrailers, ResponseFields } from "../../protocols/http2/field-rules.ts";
import { ReceiveWindow, SendWindow } from "../../protocols/http2/flow-window.ts";
import type { FrameHandler } from "../../protocols/http2/frame-handler.ts";
import { FrameReader } from "../../protocols/http2/frame-reader.ts";
import * as frames from "../../protocols/http2/frame-writers.ts";
import { DEFAULT_WINDOW, FLAG, FRAME, H2_ERROR, MIN_MAX_FRAME_BYTES, SETTING } from "../../protocols/http2/frames.ts";
import { HeaderList } from "../../protocols/http2/header-list.ts";
import { DECODED, HpackDecoder } from "../../protocols/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../protocols/http2/hpack-encoder.ts";
import { DEFAULT_READER_LIMITS } from "../../protocols/http2/reader-options.ts";
import { StreamIds } from "../../protocols/http2/stream-ids.ts";
import { CLOSED_BY, isConnectionError } from "../../protocols/http2/stream-state.ts";
import { ByteWriter } from "../../transport/byte-writer.ts";
import { NEVER } from "../../transport/deadlines.ts";
import { flushLater } from "../../transport/flush-later.ts";
import { DialedConnection } from "../dial.ts";
import { encodeRequest } from "./request-fields.ts";
import type { StreamHome, UpstreamStream } from "./upstream-stream.ts";

/** Streams at a time, whatever more the endpoint allows. */
const MAX_STREAMS = 256;
const TABLE_BYTES = 4_096;
const STREAM_WINDOW = 262_144;
/** Given back at once: what one slow client leaves lying must not hold up the others. */
const CONNECTION_WINDOW = 16 * 1_048_576;
const MAX_FIELDS = 256;
const OUTPUT_BYTES = 16_384;
const FLUSH_BYTES = 65_536;
const WRITE_TIMEOUT_MS = 60_000;

/** The pool that made a connection. */
export interface Http2Home {
  readonly maxResponseHead: number;
  readonly idleTimeoutMs: number;
  readonly secure: boolean;
  now(): number;
  /** It can take streams now, or more of them. */
  upstreamReady(upstream: Http2Upstream): void;
  upstreamFailed(upstream: Http2Upstream, code: ErrorCode): void;
  upstreamClosed(upstream: Http2Upstream, wasOpen: boolean): void;
  watch(stream: UpstreamStream): void;
  unwatch(stream: UpstreamStream): void;
}

const list = new HeaderList();
const fields = new ResponseFields();

export class Http2Upstream extends DialedConnection implements FrameHandler, StreamHome {
  readonly bornMs: number;
  hasServed = false;
  isServing = false;
  flushPending = false;
  initialSendWindow = DEFAULT_WINDOW;
  readonly #home: Http2Home;
  readonly #streams = new Map<number, UpstreamStream>();
  readonly #ids = new StreamIds("client");
  readonly #reader: FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #encoder = new HpackEncoder(TABLE_BYTES);
  readonly #sendWindow = new SendWindow();
  readonly #receiveWindow = new ReceiveWindow(CONNECTION_WINDOW);
  readonly #output = new ByteWriter(OUTPUT_BYTES);
  #maxFrameBytes = MIN_MAX_FRAME_BYTES;
  #maxStreams = 100;
  #settled = false;
  #leaving = false;
  #lastFlags = -1;
  #lastStream = 0;

  constructor(home: Http2Home) {
    super();
    this.#home = home;
    this.bornMs = home.now();
    const { maxResponseHead } = home;
    this.#reader = new FrameReader(this, { ...DEFAULT_READER_LIMITS, maxBlockBytes: maxResponseHead, role: "client" });
    this.#decoder = new HpackDecoder({ tableBytes: TABLE_BYTES, listBytes: maxResponseHead, fields: MAX_FIELDS });
  }

  get hasRoom(): boolean {
    return this.isServing && !this.#leaving && this.#streams.size < this.#maxStreams;
  }

  get streams(): number {
    return this.#streams.size;
  }

  get sendable(): number {
    return this.congested ? 0 : this.#sendWindow.available;
  }

  /** Takes no more streams; closes when the last one is over. */
  retire(): void {
    this.#leaving = true;
    if (this.isServing && this.#streams.size === 0) this.#goodbye(H2_ERROR.noError);
  }

  /** The endpoint is out of service: ends all streams (RST_STREAM), then the connection (GOAWAY). */
  endpointLeft(): void {
    this.#leaving = true;
    for (const stream of [...this.#streams.values()]) stream.endpointLeft();
    this.#goodbye(H2_ERROR.noError);
  }

  // ---- Connecting

  override opened(protocol: string): void {
    if (this.#settled) return this.abort();
    if (this.#home.secure && protocol !== "h2") {
      this.failConnecting("E_ENDPOINT_TLS");
      this.abort();
      return;
    }
    this.#settled = true;
    this.isServing = true;
    frames.writePreface(this.#output);
    frames.writeSettings(this.#output, [
      ...[SETTING.enablePush, 0],
      ...[SETTING.initialWindowSize, STREAM_WINDOW],
      ...[SETTING.maxHeaderListSize, this.#home.maxResponseHead],
    ]);
    frames.writeWindowUpdate(this.#output, 0, CONNECTION_WINDOW - DEFAULT_WINDOW);
    flushLater(this);
    this.#armDeadline();
    this.#home.upstreamReady(this);
  }

  override failConnecting(code: ErrorCode): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#leaving = true;
    this.#home.upstreamFailed(this, code);
  }

  // ---- What the socket tells

  override onData(bytes: Buffer): void {
    this.#reader.consume(bytes, 0, bytes.length);
  }

  override onDrain(): void {
    this.#armDeadline();
    for (const stream of [...this.#streams.values()]) stream.pump();
  }

  override onPeerEnd(): void {
    this.close();
  }

  override onClose(): void {
    const wasOpen = this.isServing;
    this.isServing = false;
    this.#leaving = true;
    this.#reader.stop();
    if (!wasOpen) this.failConnecting("E_CONNECT_FAILED");
    this.#home.upstreamClosed(this, wasOpen);
    for (const stream of [...this.#streams.values()]) stream.onReset(false);
  }

  override onDeadline(): void {
    if (!this.#settled) {
      this.failConnecting("E_CONNECT_TIMEOUT");
      this.abort();
    } else if (this.congested) this.abort();
    else this.#goodbye(H2_ERROR.noError);
  }

  // ---- Requests (StreamHome)

  beginStream(stream: UpstreamStream): number {
    if (!this.hasRoom) return 0;
    const streamId = this.#ids.begin();
    if (streamId === 0) {
      this.#leaving = true;
      return 0;
    }
    this.#streams.set(streamId, stream);
    this.hasServed = true;
    this.#armDeadline();
    return streamId;
  }

  writeRequest(stream: UpstreamStream, head: Head, protocol: string, endStream: boolean): void {
    const output = this.#output;
    const mark = frames.beginHeaders(output);
    encodeRequest(this.#encoder, output, head, this.#home.secure, protocol);
    frames.endHeaders(output, mark, stream.streamId, endStream, this.#maxFrameBytes);
    this.#mayEndAt(mark, stream.streamId);
  }

  writeTrailers(streamId: number, lines: string): void {
    const output = this.#output;
    const mark = frames.beginHeaders(output);
    this.#encoder.begin(output);
    for (const line of lines.split("\r\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) this.#encoder.text(output, line.slice(0, colon), line.slice(colon + 1).trim());
    }
    frames.endHeaders(output, mark, streamId, true, this.#maxFrameBytes);
    this.#lastFlags = -1;
    flushLater(this);
  }

  writeData(streamId: number, bytes: Buffer, start: number, end: number): void {
    this.#sendWindow.take(end - start);
    for (let from = start; from < end; from += this.#maxFrameBytes) {
      const to = Math.min(end, from + this.#maxFrameBytes);
      const mark = this.#output.length;
      frames.writeData(this.#output, streamId, bytes, from, to, false);
      this.#mayEndAt(mark, streamId);
      if (this.#output.length >= FLUSH_BYTES) this.flush();
    }
  }

  writeEnd(streamId: number): void {
    if (this.#lastFlags >= 0 && this.#lastStream === streamId) {
      const { bytes } = this.#output;
      bytes[this.#lastFlags] = (bytes[this.#lastFlags] as number) | FLAG.endStream;
      this.#lastFlags = -1;
    } else frames.writeFrameHeader(this.#output, 0, FRAME.data, FLAG.endStream, streamId);
    flushLater(this);
  }

  giveBack(stream: UpstreamStream, bytes: number): void {
    const increment = stream.receiveWindow.consume(bytes);
    if (increment === 0 || stream.over) return;
    frames.writeWindowUpdate(this.#output, stream.streamId, increment);
    flushLater(this);
  }

  leave(stream: UpstreamStream, code: number): void {
    this.#home.unwatch(stream);
    const { streamId } = stream;
    if (!this.#streams.delete(streamId)) return;
    if (stream.over && code === H2_ERROR.noError) this.#ids.close(streamId, CLOSED_BY.endStream);
    else {
      this.#ids.close(streamId, CLOSED_BY.ourReset);
      stream.over = true;
      frames.writeRstStream(this.#output, streamId, code);
      this.#lastFlags = -1;
      flushLater(this);
    }
    this.#afterStream();
  }

  now(): number {
    return this.#home.now();
  }

  /** Sends what has been gathered. */
  flush(): void {
    const output = this.#output;
    this.#lastFlags = -1;
    const { length } = output;
    if (length === 0) return;
    output.clear();
    this.send(output.bytes, 0, length, true);
    if (this.congested) this.#armDeadline();
  }

  // ---- Frames (FrameHandler)

  dataBegin(streamId: number, flowBytes: number): void {
    if (!this.#receiveWindow.receive(flowBytes)) return this.connectionError(H2_ERROR.flowControlError);
    const increment = this.#receiveWindow.consume(flowBytes);
    if (increment > 0) {
      frames.writeWindowUpdate(this.#output, 0, increment);
      flushLater(this);
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.#obey(this.#ids.onReceive(streamId, FRAME.data));
    else if (!stream.receiveWindow.receive(flowBytes)) this.#breakStream(stream, H2_ERROR.flowControlError);
  }

  data(streamId: number, bytes: Buffer, start: number, end: number): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined && !stream.onData(bytes, start, end)) this.#breakStream(stream, H2_ERROR.protocolError);
  }

  dataEnd(streamId: number, endStream: boolean, paddingBytes: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (paddingBytes > 0) this.giveBack(stream, paddingBytes);
    if (endStream) stream.onEnd("");
  }

  headers(streamId: number, block: Buffer, start: number, end: number, endStream: boolean): void {
    const result = this.#decoder.decode(block, start, end, list);
    if (result < 0) return this.connectionError(H2_ERROR.compressionError);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#obey(this.#ids.onReceive(streamId, FRAME.headers));
    if (result !== DECODED) return this.#breakStream(stream, H2_ERROR.enhanceYourCalm);
    const isTrailers = list.count === 0 || list.bytes[list.nameStart(0)] !== COLON;
    if (isTrailers) {
      if (!endStream || inspectTrailers(list) !== undefined) return this.#breakStream(stream, H2_ERROR.protocolError);
      return stream.onEnd(list.bytes.toString("latin1", 0, list.length));
    }
    if (inspectResponse(list, fields) !== undefined || !stream.onFields(list, fields, endStream))
      this.#breakStream(stream, H2_ERROR.protocolError);
  }

  priority(): void {}

  rstStream(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.delete(streamId);
    this.#ids.close(streamId, CLOSED_BY.peerReset);
    stream.over = true;
    if (code === H2_ERROR.refusedStream) stream.refuse("E_UPSTREAM_REFUSED");
    else stream.onReset(false);
    this.#afterStream();
  }

  setting(id: number, value: number): void {
    if (id === SETTING.headerTableSize) this.#encoder.setPeerTableLimit(value);
    else if (id === SETTING.maxFrameSize) this.#maxFrameBytes = value;
    else if (id === SETTING.maxConcurrentStreams) this.#maxStreams = Math.min(MAX_STREAMS, value);
    else if (id === SETTING.initialWindowSize) {
      const before = this.initialSendWindow;
      this.initialSendWindow = value;
      for (const stream of this.#streams.values())
        if (!stream.sendWindow.adjust(before, value)) return this.connectionError(H2_ERROR.flowControlError);
    }
  }

  settingsEnd(): void {
    frames.writeSettingsAck(this.#output);
    flushLater(this);
    for (const stream of [...this.#streams.values()]) stream.pump();
    if (this.hasRoom) this.#home.upstreamReady(this);
  }

  settingsAck(): void {}

  ping(bytes: Buffer, start: number): void {
    frames.writePing(this.#output, bytes, start, true);
    flushLater(this);
  }

  pingAck(): void {}

  /** Streams above `lastStreamId` were not looked at: they can go elsewhere (RFC 9113 section 6.8). */
  goaway(lastStreamId: number): void {
    this.#leaving = true;
    for (const [streamId, stream] of [...this.#streams]) {
      if (streamId <= lastStreamId) continue;
      this.#streams.delete(streamId);
      stream.over = true;
      stream.refuse("E_UPSTREAM_REFUSED");
    }
    this.#afterStream();
  }

  windowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (!this.#sendWindow.add(increment)) return this.connectionError(H2_ERROR.flowControlError);
      for (const stream of [...this.#streams.values()]) stream.pump();
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (stream.sendWindow.add(increment)) stream.pump();
    else this.#breakStream(stream, H2_ERROR.flowControlError);
  }

  unknownFrame(): void {}

  streamError(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#breakStream(stream, code);
  }

  connectionError(code: number): void {
    this.#goodbye(code);
  }

  // ---- Inside

  #mayEndAt(mark: number, streamId: number): void {
    this.#lastFlags = mark + FLAGS_OFFSET;
    this.#lastStream = streamId;
    flushLater(this);
  }

  #obey(verdict: number): void {
    if (isConnectionError(verdict)) this.connectionError(H2_ERROR.protocolError);
  }

  /** The endpoint broke a rule on one stream: its answer cannot be used. */
  #breakStream(stream: UpstreamStream, code: number): void {
    this.#streams.delete(stream.streamId);
    this.#ids.close(stream.streamId, CLOSED_BY.ourReset);
    frames.writeRstStream(this.#output, stream.streamId, code);
    this.#lastFlags = -1;
    flushLater(this);
    stream.onReset(false);
    this.#afterStream();
  }

  #afterStream(): void {
    if (!this.isServing) return;
    this.#armDeadline();
    if (this.#leaving && this.#streams.size === 0) this.#goodbye(H2_ERROR.noError);
    else if (this.hasRoom) this.#home.upstreamReady(this);
  }

  #armDeadline(): void {
    if (this.congested) this.deadlineMs = this.now() + WRITE_TIMEOUT_MS;
    else this.deadlineMs = this.#streams.size > 0 ? NEVER : this.now() + this.#home.idleTimeoutMs;
  }

  #goodbye(code: number): void {
    if (!this.isServing) return;
    this.isServing = false;
    this.#leaving = true;
    this.#reader.stop();
    frames.writeGoaway(this.#output, 0, code, "");
    this.flush();
    this.#home.upstreamClosed(this, true);
    for (const stream of [...this.#streams.values()]) stream.onReset(false);
    this.close();
  }
}

const COLON = 0x3a;
/** Where a frame's header has its flags. */
const FLAGS_OFFSET = 4;
