/** One HTTP/2 connection to an endpoint, with the streams of many exchanges on it. */
import type { ErrorCode } from "../../base/errors.ts";
import type { Head } from "../../protocols/http1/head.ts";
import { inspectResponse, inspectTrailers, ResponseFields } from "../../protocols/http2/field-rules.ts";
import { ReceiveWindow } from "../../protocols/http2/flow-window.ts";
import type { FrameHandler } from "../../protocols/http2/frame-handler.ts";
import { FrameReader } from "../../protocols/http2/frame-reader.ts";
import { DEFAULT_WINDOW, FRAME, H2_ERROR, SETTING } from "../../protocols/http2/frames.ts";
import { HeaderList } from "../../protocols/http2/header-list.ts";
import { DECODED, HpackDecoder } from "../../protocols/http2/hpack-decoder.ts";
import { StreamIds } from "../../protocols/http2/stream-ids.ts";
import { CLOSED_BY, isConnectionError, verdictCode } from "../../protocols/http2/stream-state.ts";
import { NEVER } from "../../transport/deadlines.ts";
import { DialedConnection } from "../dial.ts";
import { FrameOutput } from "./frame-output.ts";
import { readerOptions, SILENCE_MS, UpstreamDeadlines } from "./upstream-limits.ts";
import { STREAM_WINDOW, type StreamHome, type UpstreamStream } from "./upstream-stream.ts";

/** Streams at a time, whatever more the endpoint allows. */
const MAX_STREAMS = 256;
const TABLE_BYTES = 4_096;
/** Given back at once: what one slow client leaves lying must not hold up the others. */
const CONNECTION_WINDOW = 16 * 1_048_576;
const MAX_FIELDS = 256;
/** Answers to PING and SETTINGS that are kept for an endpoint that does not read. */
const MAX_UNREAD_ANSWERS = 1_000;
const COLON = 0x3a;
const PING = Buffer.from("evenkeel");

/** The pool that made a connection. */
export interface Http2Home {
  /** Bytes. */
  readonly maxResponseHead: number;
  readonly idleTimeoutMs: number;
  readonly secure: boolean;
  now(): number;
  /** The endpoint has told its SETTINGS: streams can begin. */
  upstreamReady(upstream: Http2Upstream): void;
  upstreamFailed(upstream: Http2Upstream, code: ErrorCode): void;
  /** It takes no more streams, and is closing or closed. May be told twice. */
  upstreamClosed(upstream: Http2Upstream): void;
}

const list = new HeaderList();
const fields = new ResponseFields();

export class Http2Upstream extends DialedConnection implements FrameHandler, StreamHome {
  readonly bornMs: number;
  hasServed = false;
  takesTunnels = false;
  initialSendWindow = DEFAULT_WINDOW;
  readonly #home: Http2Home;
  readonly #streams = new Map<number, UpstreamStream>();
  readonly #ids = new StreamIds("client");
  readonly #reader: FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #output = new FrameOutput((bytes, end) => this.#write(bytes, end));
  readonly #receiveWindow = new ReceiveWindow(CONNECTION_WINDOW);
  readonly #deadlines = new UpstreamDeadlines();
  #maxStreams = MAX_STREAMS;
  /** It is known whether it can be used: the endpoint's SETTINGS have come, or it has failed. */
  #settled = false;
  #serving = false;
  #leaving = false;
  #heardMs = 0;
  #unreadAnswers = 0;

  constructor(home: Http2Home) {
    super();
    this.#home = home;
    this.bornMs = home.now();
    this.#reader = new FrameReader(this, readerOptions(home.maxResponseHead));
    this.#decoder = new HpackDecoder({ tableBytes: TABLE_BYTES, listBytes: home.maxResponseHead, fields: MAX_FIELDS });
  }

  /** Streams that may begin now. */
  get room(): number {
    return this.#serving && !this.#leaving ? Math.max(0, this.#maxStreams - this.#streams.size) : 0;
  }

  get hasRoom(): boolean {
    return this.room > 0;
  }

  get streams(): number {
    return this.#streams.size;
  }

  get sendable(): number {
    return this.congested ? 0 : this.#output.window.available;
  }

  /** Takes no more streams; closes when the last one is over. */
  retire(): void {
    this.#leaving = true;
    if (this.#streams.size === 0) this.#goodbye(H2_ERROR.noError);
  }

  // ---- Connecting

  override opened(protocol: string): void {
    if (this.#settled) return this.abort();
    if (this.#home.secure && protocol !== "h2") {
      this.failConnecting("E_ENDPOINT_PROTOCOL");
      this.abort();
      return;
    }
    const settings = [
      ...[SETTING.enablePush, 0],
      ...[SETTING.initialWindowSize, STREAM_WINDOW],
      ...[SETTING.maxHeaderListSize, this.#home.maxResponseHead],
    ];
    this.#output.begin(settings, CONNECTION_WINDOW - DEFAULT_WINDOW);
  }

  override failConnecting(code: ErrorCode): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#leaving = true;
    this.#home.upstreamFailed(this, code);
  }

  // ---- What the socket tells

  override onData(bytes: Buffer): void {
    this.#heardMs = this.now();
    if (this.#deadlines.heard()) this.#armDeadline();
    this.#reader.consume(bytes, 0, bytes.length);
  }

  override onDrain(): void {
    this.#unreadAnswers = 0;
    this.#deadlines.drained();
    this.#armDeadline();
    this.#pump();
  }

  override onProgress(): void {
    this.#deadlines.congested(this.now());
    this.#armDeadline();
  }

  override onPeerEnd(): void {
    this.close();
  }

  override onClose(): void {
    this.#serving = false;
    this.#leaving = true;
    this.#reader.stop();
    this.failConnecting("E_CONNECT_FAILED");
    this.#home.upstreamClosed(this);
    this.#resetStreams();
  }

  override onDeadline(nowMs: number): void {
    if (!this.#settled) {
      this.failConnecting("E_CONNECT_TIMEOUT");
      this.abort();
    } else if (this.#deadlines.hasFailed(nowMs)) this.abort();
    else this.#goodbye(H2_ERROR.noError);
  }

  #write(bytes: Buffer, end: number): void {
    const wasCongested = this.congested;
    this.send(bytes, 0, end, true);
    if (!this.congested || wasCongested) return;
    this.#deadlines.congested(this.now());
    this.#armDeadline();
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
    this.#output.request(stream.streamId, head, this.#home.secure ? "https" : "http", protocol, endStream);
  }

  writeTrailers(streamId: number, lines: string): void {
    this.#output.trailers(streamId, lines);
  }

  writeData(streamId: number, bytes: Buffer, start: number, end: number): void {
    this.#output.data(streamId, bytes, start, end);
  }

  writeEnd(streamId: number): void {
    this.#output.end(streamId);
  }

  giveBack(stream: UpstreamStream, bytes: number): void {
    const increment = stream.receiveWindow.consume(bytes);
    if (increment > 0 && !stream.answerEnded) this.#output.windowUpdate(stream.streamId, increment);
  }

  leave(stream: UpstreamStream, code: number): void {
    const { streamId } = stream;
    if (!this.#streams.delete(streamId)) return;
    this.#ids.close(streamId, code === H2_ERROR.noError ? CLOSED_BY.endStream : CLOSED_BY.ourReset);
    if (code !== H2_ERROR.noError) this.#output.reset(streamId, code);
    if (code === H2_ERROR.cancel) this.#askForLife();
    this.#afterStream();
  }

  now(): number {
    return this.#home.now();
  }

  // ---- Frames (FrameHandler)

  dataBegin(streamId: number, flowBytes: number): void {
    if (!this.#receiveWindow.receive(flowBytes)) return this.connectionError(H2_ERROR.flowControlError);
    const increment = this.#receiveWindow.consume(flowBytes);
    if (increment > 0) this.#output.windowUpdate(0, increment);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.#obey(streamId, FRAME.data);
    else if (!stream.receiveWindow.receive(flowBytes)) this.#breakStream(stream, H2_ERROR.flowControlError);
  }

  data(streamId: number, bytes: Buffer, start: number, end: number): void {
    const stream = this.#streams.get(streamId);
    if (stream?.onData(bytes, start, end) === false) this.#breakStream(stream, H2_ERROR.protocolError);
  }

  dataEnd(streamId: number, endStream: boolean, paddingBytes: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (paddingBytes > 0) this.giveBack(stream, paddingBytes);
    if (endStream && !stream.onEnd("")) this.#breakStream(stream, H2_ERROR.protocolError);
  }

  headers(streamId: number, block: Buffer, start: number, end: number, endStream: boolean, error: number): void {
    const result = this.#decoder.decode(block, start, end, list);
    if (result < 0) return this.connectionError(H2_ERROR.compressionError);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#obey(streamId, FRAME.headers);
    if (result !== DECODED) return this.#breakStream(stream, H2_ERROR.enhanceYourCalm, "E_RESPONSE_HEAD_TOO_LARGE");
    if (error !== 0) return this.#breakStream(stream, error);
    const isTrailers = list.count === 0 || list.bytes[list.nameStart(0)] !== COLON;
    const isGood = isTrailers
      ? endStream && inspectTrailers(list) === undefined && stream.onEnd(list.bytes.toString("latin1", 0, list.length))
      : inspectResponse(list, fields) === undefined && stream.onFields(list, fields, endStream);
    if (!isGood) this.#breakStream(stream, H2_ERROR.protocolError);
  }

  priority(): void {}

  rstStream(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#obey(streamId, FRAME.rstStream);
    this.#streams.delete(streamId);
    this.#ids.close(streamId, CLOSED_BY.peerReset);
    if (code === H2_ERROR.refusedStream) stream.fail("E_UPSTREAM_REFUSED");
    else if (code === H2_ERROR.http11Required) stream.fail("E_ENDPOINT_PROTOCOL");
    else stream.onReset();
    this.#afterStream();
  }

  setting(id: number, value: number): void {
    if (id === SETTING.headerTableSize) this.#output.setTableLimit(value);
    else if (id === SETTING.maxFrameSize) this.#output.maxFrameBytes = value;
    else if (id === SETTING.maxConcurrentStreams) this.#maxStreams = Math.min(MAX_STREAMS, value);
    else if (id === SETTING.enableConnectProtocol) this.takesTunnels = value === 1;
    else if (id === SETTING.initialWindowSize) {
      const before = this.initialSendWindow;
      this.initialSendWindow = value;
      for (const stream of this.#streams.values())
        if (!stream.sendWindow.adjust(before, value)) return this.connectionError(H2_ERROR.flowControlError);
    }
  }

  settingsEnd(): void {
    if (!this.#mayAnswer()) return;
    this.#output.settingsAck();
    this.#pump();
    if (this.#settled) return;
    this.#settled = true;
    this.#serving = true;
    this.#armDeadline();
    this.#home.upstreamReady(this);
  }

  settingsAck(): void {}

  ping(bytes: Buffer, start: number): void {
    if (this.#mayAnswer()) this.#output.ping(bytes, start, true);
  }

  pingAck(): void {}

  /** Streams above `lastStreamId` were not looked at: they can go elsewhere (RFC 9113 section 6.8). */
  goaway(lastStreamId: number): void {
    this.#leaving = true;
    for (const [streamId, stream] of [...this.#streams]) {
      if (streamId <= lastStreamId) continue;
      this.#streams.delete(streamId);
      stream.fail("E_UPSTREAM_REFUSED");
    }
    this.#afterStream();
  }

  windowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (this.#output.window.add(increment)) this.#pump();
      else this.connectionError(H2_ERROR.flowControlError);
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.#obey(streamId, FRAME.windowUpdate);
    else if (stream.sendWindow.add(increment)) stream.pump();
    else this.#breakStream(stream, H2_ERROR.flowControlError);
  }

  unknownFrame(): void {}

  streamError(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#breakStream(stream, code);
  }

  connectionError(code: number): void {
    this.failConnecting("E_ENDPOINT_PROTOCOL");
    this.#goodbye(code);
  }

  // ---- Inside

  /** Those that have waited longest go first, and then stand at the end: so each gets its turn. */
  #pump(): void {
    for (const [streamId, stream] of [...this.#streams]) {
      if (this.sendable <= 0) return;
      if (!stream.congested || this.#streams.get(streamId) !== stream) continue;
      this.#streams.delete(streamId);
      this.#streams.set(streamId, stream);
      stream.pump();
    }
  }

  /** A frame for a stream that is not there. */
  #obey(streamId: number, type: number): void {
    const verdict = this.#ids.onReceive(streamId, type);
    if (isConnectionError(verdict)) this.connectionError(verdictCode(verdict));
  }

  /** The endpoint broke a rule on one stream: its answer cannot be used. */
  #breakStream(stream: UpstreamStream, code: number, reason: ErrorCode = "E_BAD_RESPONSE"): void {
    this.leave(stream, code);
    stream.fail(reason);
  }

  /** Whether a word of the endpoint may be answered. One that asks and asks and does not read must end. */
  #mayAnswer(): boolean {
    if (!this.congested || ++this.#unreadAnswers <= MAX_UNREAD_ANSWERS) return true;
    this.connectionError(H2_ERROR.enhanceYourCalm);
    return false;
  }

  /** An exchange was given up while nothing was heard: an endpoint that is gone without a word must not get the next. */
  #askForLife(): void {
    const now = this.now();
    if (now - this.#heardMs < SILENCE_MS || !this.#deadlines.asked(now)) return;
    this.#output.ping(PING, 0, false);
  }

  #afterStream(): void {
    if (!this.#serving) return;
    this.#armDeadline();
    if (this.#leaving && this.#streams.size === 0) this.#goodbye(H2_ERROR.noError);
  }

  #armDeadline(): void {
    if (!this.#settled) return;
    const idle = this.#streams.size > 0 ? NEVER : this.now() + this.#home.idleTimeoutMs;
    this.deadlineMs = Math.min(idle, this.#deadlines.nextMs);
  }

  #resetStreams(): void {
    for (const stream of [...this.#streams.values()]) stream.onReset();
  }

  #goodbye(code: number): void {
    this.#reader.stop();
    this.#leaving = true;
    if (this.#serving) {
      this.#serving = false;
      this.#output.goaway(code, "");
      this.#home.upstreamClosed(this);
      this.#resetStreams();
    }
    this.close();
  }
}
