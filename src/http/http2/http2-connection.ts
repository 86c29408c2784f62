/**
 * One HTTP/2 connection of a client (RFC 9113): takes frames apart, keeps the streams, the tables and the windows, and
 * bounds what a client can make us do. Each stream's request lives its life as any other (client-stream.ts).
 */
import type { Head } from "../../protocols/http1/head.ts";
import { ABUSE, type AbuseKind, AbuseLimits } from "../../protocols/http2/abuse-limits.ts";
import { inspectRequest, inspectTrailers, RequestFields } from "../../protocols/http2/field-rules.ts";
import { ReceiveWindow, SendWindow } from "../../protocols/http2/flow-window.ts";
import type { FrameHandler } from "../../protocols/http2/frame-handler.ts";
import { FrameReader } from "../../protocols/http2/frame-reader.ts";
import * as frames from "../../protocols/http2/frame-writers.ts";
import { DEFAULT_WINDOW, FLAG, FRAME, H2_ERROR, MIN_MAX_FRAME_BYTES, SETTING } from "../../protocols/http2/frames.ts";
import { HeaderList } from "../../protocols/http2/header-list.ts";
import { COMPRESSION_FAILED, DECODED, type DecodeResult, HpackDecoder } from "../../protocols/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../protocols/http2/hpack-encoder.ts";
import { DEFAULT_READER_LIMITS } from "../../protocols/http2/reader-options.ts";
import { StreamIds } from "../../protocols/http2/stream-ids.ts";
import {
  CLOSED_BY,
  isConnectionError,
  isStreamError,
  onReceive,
  STREAM,
  VERDICT_FINE,
  verdictCode,
} from "../../protocols/http2/stream-state.ts";
import { ByteWriter } from "../../transport/byte-writer.ts";
import { Connection } from "../../transport/connection.ts";
import { NEVER } from "../../transport/deadlines.ts";
import { flushLater } from "../../transport/flush-later.ts";
import type { Origin } from "../../transport/origin.ts";
import type { HttpContext } from "../context.ts";
import type { ListenerSnapshot } from "../snapshot.ts";
import { ClientStream, type StreamConnection } from "./client-stream.ts";
import { requestHead } from "./request-head.ts";
import { encodeHead, encodeLines } from "./response-fields.ts";

const MAX_STREAMS = 128;
/** What one request may send before it is passed on, and all of a connection together: memory that a client can fill. */
const STREAM_WINDOW = 262_144;
const CONNECTION_WINDOW = 1_048_576;
const TABLE_BYTES = 4_096;
const CONNECT_PROTOCOL = 1;
/** A GOAWAY leaves us in time for the client to read it. */
const LINGER_MS = 1_000;
const OUTPUT_BYTES = 16_384;
/** Above this the gathered frames leave at once, so that the buffer stays small. */
const FLUSH_BYTES = 65_536;
const MAX_LAST_STREAM = 0x7fffffff;

/** What a listener gives its connections; `settings` is replaced when a configuration is loaded. */
export interface Http2ListenerState {
  settings: ListenerSnapshot;
  connectionClosed(connection: Http2Connection): void;
}

// Used while one event is handled, by one connection at a time.
const list = new HeaderList();
const fields = new RequestFields();

export class Http2Connection extends Connection implements FrameHandler, StreamConnection {
  readonly context: HttpContext;
  readonly origin: Origin;
  flushPending = false;
  readonly #listener: Http2ListenerState;
  readonly #streams = new Map<number, ClientStream>();
  readonly #ids = new StreamIds("server");
  readonly #reader: FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #encoder = new HpackEncoder(TABLE_BYTES);
  readonly #sendWindow = new SendWindow();
  readonly #receiveWindow = new ReceiveWindow(CONNECTION_WINDOW);
  readonly #abuse: AbuseLimits;
  readonly #output = new ByteWriter(OUTPUT_BYTES);
  initialSendWindow = DEFAULT_WINDOW;
  #maxFrameBytes = MIN_MAX_FRAME_BYTES;
  #requests = 0;
  /** We have told the client to begin nothing more. */
  #leaving = false;
  #ended = false;
  /** Where the last DATA frame in the output has its flags, while it may still be told to be the last of its stream. */
  #lastData = -1;
  #lastDataStream = 0;

  constructor(context: HttpContext, listener: Http2ListenerState, origin: Origin) {
    super();
    this.context = context;
    this.#listener = listener;
    this.origin = origin;
    const { limits, timeouts } = listener.settings;
    const now = context.clock.now();
    this.#abuse = new AbuseLimits(now);
    this.#reader = new FrameReader(this, { ...DEFAULT_READER_LIMITS, maxBlockBytes: limits.bytes, role: "server" });
    this.#decoder = new HpackDecoder({ tableBytes: TABLE_BYTES, listBytes: limits.bytes, fields: limits.fields + 8 });
    this.deadlineMs = now + timeouts.header;
  }

  get settings(): ListenerSnapshot {
    return this.#listener.settings;
  }

  get clientPort(): number {
    return this.origin.told?.client.port ?? this.socket?.remotePort ?? 0;
  }

  get sendable(): number {
    return this.congested ? 0 : this.#sendWindow.available;
  }

  /** Our SETTINGS; to be called once the socket is there. */
  begin(): void {
    const { limits } = this.settings;
    frames.writeSettings(this.#output, [
      ...[SETTING.maxConcurrentStreams, MAX_STREAMS],
      ...[SETTING.initialWindowSize, STREAM_WINDOW],
      ...[SETTING.maxHeaderListSize, limits.bytes],
      ...[SETTING.enableConnectProtocol, CONNECT_PROTOCOL],
      ...[SETTING.noRfc7540Priorities, 1],
    ]);
    frames.writeWindowUpdate(this.#output, 0, CONNECTION_WINDOW - DEFAULT_WINDOW);
    this.flush();
  }

  /** The listener is stopping: what has begun may end, nothing more may begin (RFC 9113 section 6.8). */
  drain(): void {
    if (this.#leaving || this.#ended) return;
    this.#leaving = true;
    // Requests may be on their way: the last number is told when they have had the time to arrive.
    frames.writeGoaway(this.#output, MAX_LAST_STREAM, H2_ERROR.noError, "");
    this.#later();
    if (this.#streams.size === 0) this.deadlineMs = Math.min(this.deadlineMs, this.#now() + LINGER_MS);
  }

  // ---- What the socket tells

  override onData(bytes: Buffer): void {
    this.#reader.consume(bytes, 0, bytes.length);
  }

  override onDrain(): void {
    this.#armDeadline();
    for (const stream of [...this.#streams.values()]) stream.pump();
  }

  override onProgress(): void {
    this.#armDeadline();
  }

  override onPeerEnd(): void {
    this.close();
  }

  override onClose(): void {
    this.#ended = true;
    this.#reader.stop();
    this.context.sweep.remove(this);
    for (const stream of [...this.#streams.values()]) {
      this.context.sweep.remove(stream);
      stream.onReset();
    }
    this.#streams.clear();
    this.#listener.connectionClosed(this);
  }

  override onDeadline(): void {
    if (this.congested) return this.abort();
    if (this.#ended) return this.close();
    this.#end(H2_ERROR.noError, "");
  }

  // ---- Frames (FrameHandler)

  dataBegin(streamId: number, flowBytes: number): void {
    if (!this.#receiveWindow.receive(flowBytes))
      return this.connectionError(H2_ERROR.flowControlError, "more DATA than the connection's window allows");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#frameForNoStream(streamId, FRAME.data);
    const verdict = onReceive(stream.state, FRAME.data);
    if (verdict !== VERDICT_FINE) this.#obey(verdict, stream, "DATA after the end");
    else if (!stream.receiveWindow.receive(flowBytes))
      this.#failStream(stream, H2_ERROR.flowControlError, "more DATA than the stream's window allows");
  }

  data(streamId: number, bytes: Buffer, start: number, end: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#giveBackToConnection(end - start);
    const problem = stream.onData(bytes, start, end);
    if (problem !== undefined) this.#failStream(stream, H2_ERROR.protocolError, problem);
  }

  dataEnd(streamId: number, endStream: boolean, paddingBytes: number): void {
    const stream = this.#streams.get(streamId);
    if (paddingBytes > 0) {
      if (stream === undefined) this.#giveBackToConnection(paddingBytes);
      else this.giveBack(stream, paddingBytes);
    }
    if (stream === undefined) return;
    if (endStream) this.#requestEnded(stream, "");
  }

  headers(streamId: number, block: Buffer, start: number, end: number, endStream: boolean, error: number): void {
    const result = this.#decoder.decode(block, start, end, list);
    if (result === COMPRESSION_FAILED)
      return this.connectionError(H2_ERROR.compressionError, this.#decoder.problem ?? "");
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) return this.#trailers(stream, result, endStream);
    const verdict = this.#ids.onReceive(streamId, FRAME.headers);
    if (verdict !== VERDICT_FINE) return this.#obeyWithoutStream(verdict, streamId, "HEADERS for a closed stream");
    this.#beginStream(streamId, result, endStream, error);
  }

  priority(): void {
    this.#count(ABUSE.priority);
  }

  rstStream(streamId: number): void {
    if (!this.#count(ABUSE.reset)) return;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#frameForNoStream(streamId, FRAME.rstStream);
    this.#forget(stream, CLOSED_BY.peerReset);
    stream.onReset();
    this.#afterStream();
  }

  setting(id: number, value: number): void {
    if (id === SETTING.headerTableSize) this.#encoder.setPeerTableLimit(value);
    else if (id === SETTING.maxFrameSize) this.#maxFrameBytes = value;
    else if (id === SETTING.initialWindowSize) {
      const before = this.initialSendWindow;
      this.initialSendWindow = value;
      for (const stream of this.#streams.values()) {
        if (!stream.sendWindow.adjust(before, value))
          return this.connectionError(H2_ERROR.flowControlError, "a window is too large");
      }
    }
  }

  settingsEnd(): void {
    if (!this.#count(ABUSE.settings)) return;
    frames.writeSettingsAck(this.#output);
    this.#later();
    for (const stream of [...this.#streams.values()]) stream.pump();
    if (this.#streams.size === 0 && !this.#leaving) this.deadlineMs = this.#now() + this.settings.timeouts.idle;
  }

  settingsAck(): void {}

  ping(bytes: Buffer, start: number): void {
    if (!this.#count(ABUSE.ping)) return;
    frames.writePing(this.#output, bytes, start, true);
    this.#later();
  }

  pingAck(): void {
    this.#count(ABUSE.ping);
  }

  /** The client begins nothing more; what has begun goes on. */
  goaway(): void {
    this.#leaving = true;
    this.#afterStream();
  }

  windowUpdate(streamId: number, increment: number): void {
    if (!this.#count(ABUSE.windowUpdate)) return;
    if (streamId === 0) {
      if (!this.#sendWindow.add(increment))
        return this.connectionError(H2_ERROR.flowControlError, "the connection's window is too large");
      for (const waiting of [...this.#streams.values()]) waiting.pump();
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#frameForNoStream(streamId, FRAME.windowUpdate);
    if (stream.sendWindow.add(increment)) stream.pump();
    else this.#failStream(stream, H2_ERROR.flowControlError, "the stream's window is too large");
  }

  unknownFrame(): void {
    this.#count(ABUSE.ignored);
  }

  streamError(streamId: number, code: number, reason: string): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#failStream(stream, code, reason);
    else if (this.#count(ABUSE.ignored)) this.#writeReset(streamId, code);
  }

  connectionError(code: number, reason: string): void {
    this.#end(code, reason);
  }

  // ---- Requests

  #beginStream(streamId: number, result: DecodeResult, endStream: boolean, error: number): void {
    const { settings } = this;
    if (this.#leaving) return;
    if (error !== 0) return this.#refuseStream(streamId, error);
    if (this.#streams.size >= MAX_STREAMS) return this.#refuseStream(streamId, H2_ERROR.refusedStream);
    const now = this.#now();
    const stream = new ClientStream(this, streamId, STREAM_WINDOW, endStream);
    this.#streams.set(streamId, stream);
    this.context.sweep.add(stream);
    this.deadlineMs = NEVER;
    if (++this.#requests >= settings.maxRequestsPerConnection) this.drain();
    if (result !== DECODED) return stream.refuse("E_HEAD_TOO_LARGE", now);
    const problem = inspectRequest(list, fields, true);
    if (problem !== undefined) return this.#failStream(stream, H2_ERROR.protocolError, problem);
    stream.begin(requestHead(list, fields, !endStream), now);
  }

  #trailers(stream: ClientStream, result: DecodeResult, endStream: boolean): void {
    const verdict = onReceive(stream.state, FRAME.headers);
    if (verdict !== VERDICT_FINE) return this.#obey(verdict, stream, "HEADERS after the end");
    const problem = endStream ? inspectTrailers(list) : "HEADERS in the middle of a request";
    if (problem !== undefined) return this.#failStream(stream, H2_ERROR.protocolError, problem);
    if (result !== DECODED) return this.#failStream(stream, H2_ERROR.enhanceYourCalm, "trailers too large");
    this.#requestEnded(stream, list.bytes.toString("latin1", 0, list.length));
  }

  #requestEnded(stream: ClientStream, trailers: string): void {
    const problem = stream.onEnd(trailers);
    if (problem !== undefined) this.#failStream(stream, H2_ERROR.protocolError, problem);
  }

  // ---- Answers (StreamConnection)

  writeHead(stream: ClientStream, head: Head | undefined, status: number, lines: string, endStream: boolean): void {
    const output = this.#output;
    const mark = frames.beginHeaders(output);
    if (head === undefined) {
      this.#encoder.begin(output);
      this.#encoder.status(output, status);
    } else encodeHead(this.#encoder, output, head, status);
    if (lines !== "") encodeLines(this.#encoder, output, lines);
    frames.endHeaders(output, mark, stream.id, endStream, this.#maxFrameBytes);
    this.#lastData = -1;
    this.#later();
  }

  writeTrailers(stream: ClientStream, lines: string): void {
    const output = this.#output;
    const mark = frames.beginHeaders(output);
    this.#encoder.begin(output);
    encodeLines(this.#encoder, output, lines);
    frames.endHeaders(output, mark, stream.id, true, this.#maxFrameBytes);
    this.#lastData = -1;
    this.#later();
  }

  writeData(stream: ClientStream, bytes: Buffer, start: number, end: number): void {
    this.#sendWindow.take(end - start);
    this.#abuse.dataMoved(end - start);
    for (let from = start; from < end; from += this.#maxFrameBytes) {
      const to = Math.min(end, from + this.#maxFrameBytes);
      this.#lastData = this.#output.length + 4;
      this.#lastDataStream = stream.id;
      frames.writeData(this.#output, stream.id, bytes, from, to, false);
      if (this.#output.length >= FLUSH_BYTES) this.flush();
    }
    this.#later();
  }

  writeEnd(stream: ClientStream): void {
    if (this.#lastData >= 0 && this.#lastDataStream === stream.id) {
      this.#output.bytes[this.#lastData] = FLAG.endStream;
      this.#lastData = -1;
    } else frames.writeFrameHeader(this.#output, 0, FRAME.data, FLAG.endStream, stream.id);
    this.#later();
  }

  giveBack(stream: ClientStream, bytes: number): void {
    const increment = stream.receiveWindow.consume(bytes);
    if (increment > 0 && (stream.state === STREAM.open || stream.state === STREAM.halfClosedLocal)) {
      frames.writeWindowUpdate(this.#output, stream.id, increment);
      this.#later();
    }
    this.#giveBackToConnection(bytes);
  }

  reset(stream: ClientStream, code: number): void {
    if (stream.state === STREAM.closed && !this.#streams.has(stream.id)) return;
    stream.state = STREAM.closed;
    this.#forget(stream, CLOSED_BY.ourReset);
    this.#writeReset(stream.id, code);
    this.#afterStream();
  }

  streamDone(stream: ClientStream): void {
    this.#abuse.requestDone();
    this.#forget(stream, CLOSED_BY.endStream);
    this.#afterStream();
  }

  /** Sends what has been gathered. */
  flush(): void {
    const output = this.#output;
    this.#lastData = -1;
    if (output.length === 0) return;
    const { length } = output;
    output.clear();
    this.send(output.bytes, 0, length, true);
    if (this.congested) this.#armDeadline();
  }

  // ---- Inside

  #now(): number {
    return this.context.clock.now();
  }

  #later(): void {
    flushLater(this);
  }

  /** False when there was too much of it: then the connection ends. */
  #count(kind: AbuseKind): boolean {
    if (this.#abuse.count(kind, this.#now()) === "calm") return true;
    this.#end(H2_ERROR.enhanceYourCalm, "too many frames that ask for nothing");
    return false;
  }

  #giveBackToConnection(bytes: number): void {
    const increment = this.#receiveWindow.consume(bytes);
    if (increment === 0) return;
    frames.writeWindowUpdate(this.#output, 0, increment);
    this.#later();
  }

  #forget(stream: ClientStream, closedBy: (typeof CLOSED_BY)[keyof typeof CLOSED_BY]): void {
    this.#streams.delete(stream.id);
    this.context.sweep.remove(stream);
    this.#ids.close(stream.id, closedBy);
  }

  #afterStream(): void {
    if (this.#streams.size > 0 || this.#ended) return;
    if (this.#leaving) this.#end(H2_ERROR.noError, "");
    else this.deadlineMs = this.#now() + this.settings.timeouts.idle;
  }

  /** The client broke a rule that concerns one stream only. Doing that often is abuse: it makes us work and costs nothing. */
  #failStream(stream: ClientStream, code: number, reason: string): void {
    this.context.log.debug("HTTP/2 stream reset", { client: this.origin.clientIp, reason });
    if (!this.#count(ABUSE.reset)) return;
    this.#forget(stream, CLOSED_BY.ourReset);
    stream.onReset();
    this.#writeReset(stream.id, code);
    this.#afterStream();
  }

  #refuseStream(streamId: number, code: number): void {
    if (!this.#count(ABUSE.reset)) return;
    this.#ids.close(streamId, CLOSED_BY.ourReset);
    this.#writeReset(streamId, code);
  }

  #writeReset(streamId: number, code: number): void {
    frames.writeRstStream(this.#output, streamId, code);
    this.#lastData = -1;
    this.#later();
  }

  #frameForNoStream(streamId: number, type: number): void {
    this.#obeyWithoutStream(this.#ids.onReceive(streamId, type), streamId, "a frame for a stream that is not open");
  }

  #obey(verdict: number, stream: ClientStream, reason: string): void {
    if (isConnectionError(verdict)) this.connectionError(verdictCode(verdict), reason);
    else if (isStreamError(verdict)) this.#failStream(stream, verdictCode(verdict), reason);
  }

  #obeyWithoutStream(verdict: number, streamId: number, reason: string): void {
    if (isConnectionError(verdict)) this.connectionError(verdictCode(verdict), reason);
    else if (!this.#count(ABUSE.ignored)) return;
    else if (isStreamError(verdict)) this.#writeReset(streamId, verdictCode(verdict));
  }

  #armDeadline(): void {
    if (this.congested) this.deadlineMs = this.#now() + this.settings.timeouts.write;
    else if (this.#ended) this.deadlineMs = this.#now() + LINGER_MS;
    else this.deadlineMs = this.#streams.size > 0 ? NEVER : this.#now() + this.settings.timeouts.idle;
  }

  /** Says goodbye and why, ends all streams, and closes once the client has had the time to read it. */
  #end(code: number, reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reader.stop();
    frames.writeGoaway(this.#output, this.#ids.highest, code, reason);
    this.flush();
    for (const stream of [...this.#streams.values()]) {
      this.#forget(stream, CLOSED_BY.ourReset);
      stream.onReset();
    }
    this.finishSending();
    this.deadlineMs = this.#now() + LINGER_MS;
  }
}
