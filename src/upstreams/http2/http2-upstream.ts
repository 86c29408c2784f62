/** One HTTP/2 connection to an endpoint, with the streams of many exchanges on it. */
import type { ErrorCode } from "../../base/errors.ts";
import type { Head } from "../../protocols/http1/head.ts";
import { FrameReader } from "../../protocols/http2/frame-reader.ts";
import { DEFAULT_WINDOW, H2_ERROR, SETTING } from "../../protocols/http2/frames.ts";
import { CLOSED_BY } from "../../protocols/http2/stream-state.ts";
import { NEVER } from "../../transport/deadlines.ts";
import { DialedConnection } from "../dial.ts";
import { CONNECTION_WINDOW, EndpointFrames, type FramesHome } from "./endpoint-frames.ts";
import { FrameOutput } from "./frame-output.ts";
import { StreamTable } from "./stream-table.ts";
import { readerOptions, SILENCE_MS, UpstreamDeadlines } from "./upstream-limits.ts";
import { STREAM_WINDOW, type StreamHome, type UpstreamStream } from "./upstream-stream.ts";

/** Answers to PING and SETTINGS that are kept for an endpoint that does not read. */
const MAX_UNREAD_ANSWERS = 1_000;
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

export class Http2Upstream extends DialedConnection implements FramesHome, StreamHome {
  readonly bornMs: number;
  hasServed = false;
  readonly #home: Http2Home;
  readonly #streams = new StreamTable();
  readonly #output = new FrameOutput((bytes, end) => this.#write(bytes, end));
  readonly #frames: EndpointFrames;
  readonly #reader: FrameReader;
  readonly #deadlines = new UpstreamDeadlines();
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
    this.#frames = new EndpointFrames(this, this.#streams, this.#output, home.maxResponseHead);
    this.#reader = new FrameReader(this.#frames, readerOptions(home.maxResponseHead));
  }

  /** Streams that may begin now. */
  get room(): number {
    return this.#serving && !this.#leaving ? Math.max(0, this.#frames.maxStreams - this.#streams.size) : 0;
  }

  get hasRoom(): boolean {
    return this.room > 0;
  }

  get takesTunnels(): boolean {
    return this.#frames.takesTunnels;
  }

  get initialSendWindow(): number {
    return this.#frames.initialSendWindow;
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

  /** The endpoint is out of service: ends all streams (RST_STREAM), then the connection (GOAWAY). */
  endpointLeft(): void {
    this.#leaving = true;
    for (const stream of this.#streams.all()) stream.endpointLeft();
    this.#goodbye(H2_ERROR.noError);
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
    this.#streams.pump(this);
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
    const streamId = this.#streams.begin(stream);
    if (streamId === 0) {
      this.#leaving = true;
      return 0;
    }
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
    if (!this.#streams.remove(streamId, code === H2_ERROR.noError ? CLOSED_BY.endStream : CLOSED_BY.ourReset)) return;
    if (code !== H2_ERROR.noError) this.#output.reset(streamId, code);
    if (code === H2_ERROR.cancel) this.#askForLife();
    this.afterStream();
  }

  now(): number {
    return this.#home.now();
  }

  // ---- What frames come to (FramesHome)

  settled(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#serving = true;
    this.#armDeadline();
    this.#home.upstreamReady(this);
  }

  endpointLeaves(): void {
    this.#leaving = true;
  }

  afterStream(): void {
    if (!this.#serving) return;
    this.#armDeadline();
    if (this.#leaving && this.#streams.size === 0) this.#goodbye(H2_ERROR.noError);
  }

  fail(code: number): void {
    this.failConnecting("E_ENDPOINT_PROTOCOL");
    this.#goodbye(code);
  }

  mayAnswer(): boolean {
    if (!this.congested || ++this.#unreadAnswers <= MAX_UNREAD_ANSWERS) return true;
    this.fail(H2_ERROR.enhanceYourCalm);
    return false;
  }

  /** An exchange was given up while nothing was heard: an endpoint that is gone without a word must not get the next. */
  #askForLife(): void {
    const now = this.now();
    if (now - this.#heardMs < SILENCE_MS || !this.#deadlines.asked(now)) return;
    this.#output.ping(PING, 0, false);
  }

  #armDeadline(): void {
    if (!this.#settled) return;
    const idle = this.#streams.size > 0 ? NEVER : this.now() + this.#home.idleTimeoutMs;
    this.deadlineMs = Math.min(idle, this.#deadlines.nextMs);
  }

  #resetStreams(): void {
    for (const stream of this.#streams.all()) stream.onReset();
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
