/**
 * One exchange on an HTTP/2 connection to an endpoint. The exchange writes HTTP/1.1 and reads HTTP/1.1; here it becomes
 * a stream: the head becomes fields, chunks become DATA, and the other way round.
 */
import type { ErrorCode } from "../../base/errors.ts";
import { ChunkedBody } from "../../protocols/http1/chunked.ts";
import { DONE, Head } from "../../protocols/http1/head.ts";
import { inspectRequest } from "../../protocols/http1/inspect-request.ts";
import { parseRequestHead } from "../../protocols/http1/parse-request.ts";
import type { ResponseFields } from "../../protocols/http2/field-rules.ts";
import { ReceiveWindow, SendWindow } from "../../protocols/http2/flow-window.ts";
import { H2_ERROR } from "../../protocols/http2/frames.ts";
import type { HeaderList } from "../../protocols/http2/header-list.ts";
import { type DataSink, SendQueue } from "../../protocols/http2/send-queue.ts";
import { type Deadline, NEVER } from "../../transport/deadlines.ts";
import type { Borrower, UpstreamChannel } from "../upstream-channel.ts";
import { answerHead, tunnelHead } from "./answer-head.ts";

/** The connection that a stream is on. */
export interface StreamHome extends DataSink {
  /** A stream has begun on it before. */
  readonly hasServed: boolean;
  readonly initialSendWindow: number;
  /** Extended CONNECT (RFC 8441) was announced. */
  readonly takesTunnels: boolean;
  /** The next stream's number, 0 when there are no more. */
  beginStream(stream: UpstreamStream): number;
  writeRequest(stream: UpstreamStream, head: Head, protocol: string, endStream: boolean): void;
  writeTrailers(streamId: number, lines: string): void;
  writeEnd(streamId: number): void;
  giveBack(stream: UpstreamStream, bytes: number): void;
  /** Forgets the stream, after a reset when `code` is not NO_ERROR. Does nothing for one that is forgotten already. */
  leave(stream: UpstreamStream, code: number): void;
  now(): number;
}

/** Whoever made a stream, and is told once when nobody needs it any more. */
export interface StreamKeeper {
  forget(stream: UpstreamStream): void;
}

/** Larger than anything that exchanges write. */
const LIMITS = { bytes: 4_194_304, fields: 20_000 };
/** What a stream's endpoint may send before it was passed on: also told in SETTINGS. */
export const STREAM_WINDOW = 262_144;
/** How long an answer that is whole may take to say so (END_STREAM). */
const LINGER_MS = 5_000;
const CHUNK_END = Buffer.from("\r\n");
const UNKNOWN = -1;
/** Used while one head is turned into fields. */
const head = new Head();

export class UpstreamStream implements UpstreamChannel, Deadline {
  reused = false;
  deadlineMs = NEVER;
  sweepIndex = -1;
  streamId = 0;
  readonly receiveWindow = new ReceiveWindow(STREAM_WINDOW);
  sendWindow = new SendWindow();
  readonly #keeper: StreamKeeper;
  #home: StreamHome | undefined;
  #borrower: Borrower | undefined;
  #queue: SendQueue | undefined;
  /** Nothing can be sent on it any more. */
  #unusable = false;

  #chunks: ChunkedBody | undefined;
  #remaining = 0;
  #requestEnded = false;
  #endWaits = false;
  #isHead = false;
  /** What the request wants to upgrade to; "" for nothing. */
  #protocol = "";
  #webSocketKey = "";

  #headReceived = false;
  #isTunnel = false;
  #answerChunked = false;
  /** Bytes that the answer's content-length still promises. */
  #answerRemaining = UNKNOWN;
  #answerEnded = false;
  #paused = false;
  #owed = 0;

  constructor(borrower: Borrower, keeper: StreamKeeper) {
    this.#borrower = borrower;
    this.#keeper = keeper;
  }

  get congested(): boolean {
    return this.#queue !== undefined && !this.#queue.isEmpty;
  }

  get hasBorrower(): boolean {
    return this.#borrower !== undefined;
  }

  /** A connection is there for it. */
  place(home: StreamHome): void {
    this.#home = home;
    this.reused = home.hasServed;
  }

  connected(): void {
    this.#borrower?.onConnected(this);
  }

  /** It is of no use any more. Whether the request may be sent elsewhere, `code` says. */
  fail(code: ErrorCode): void {
    this.#take()?.onConnectFailed(code);
  }

  // ---- What the exchange sends (UpstreamChannel)

  send(bytes: Buffer, start: number, end: number, reused: boolean): void {
    if (this.#home === undefined || this.#unusable) return;
    const from = this.streamId === 0 ? this.#sendHead(this.#home, bytes, start, end) : start;
    if (from < end) this.#sendBody(bytes, from, end, reused);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    const owed = this.#owed;
    this.#owed = 0;
    if (owed > 0) this.#home?.giveBack(this, owed);
  }

  finishSending(): void {
    this.#endRequest("");
  }

  release(reusable: boolean, nowMs: number): void {
    if (!reusable || !this.#requestEnded || this.#answerEnded || this.#isTunnel) {
      this.#take();
      return;
    }
    // All that was promised is here, and only END_STREAM is not: a reset would look to the endpoint as if we had left.
    this.#borrower = undefined;
    this.deadlineMs = nowMs + LINGER_MS;
    this.resume();
  }

  #sendHead(home: StreamHome, bytes: Buffer, start: number, end: number): number {
    head.reset(bytes, start);
    if (parseRequestHead(head, end, LIMITS) !== DONE || inspectRequest(head) !== undefined)
      return this.#cannotSend("E_INTERNAL", end);
    const protocol = head.upgradeField >= 0 ? head.value(head.upgradeField) : "";
    if (protocol !== "" && !home.takesTunnels) return this.#cannotSend("E_ENDPOINT_PROTOCOL", end);
    this.streamId = home.beginStream(this);
    if (this.streamId === 0) return this.#cannotSend("E_UPSTREAM_REFUSED", end);
    this.sendWindow = new SendWindow(home.initialSendWindow);
    this.#queue = new SendQueue(this.streamId, this.sendWindow, home);
    this.#protocol = protocol;
    if (protocol !== "") this.#webSocketKey = head.get("sec-websocket-key") ?? "";
    this.#isHead = bytes.toString("latin1", head.start, head.methodEnd) === "HEAD";
    this.#chunks = head.chunked ? new ChunkedBody() : undefined;
    this.#remaining = Math.max(0, head.contentLength);
    this.#requestEnded = protocol === "" && this.#chunks === undefined && this.#remaining === 0;
    home.writeRequest(this, head, protocol, this.#requestEnded);
    return head.position;
  }

  /** Told later: a borrower is never called from within its own call. */
  #cannotSend(code: ErrorCode, end: number): number {
    this.#unusable = true;
    queueMicrotask(() => this.fail(code));
    return end;
  }

  #sendBody(bytes: Buffer, start: number, end: number, reused: boolean): void {
    const queue = this.#queue;
    if (queue === undefined || this.#requestEnded || this.#endWaits) return;
    const chunks = this.#chunks;
    if (chunks !== undefined) {
      chunks.consume(bytes, start, end, (from, to) => queue.send(bytes, from, to, reused));
      if (chunks.ended) this.#endRequest(chunks.trailers);
      return;
    }
    queue.send(bytes, start, end, reused);
    if (this.#protocol !== "") return;
    this.#remaining -= end - start;
    if (this.#remaining <= 0) this.#endRequest("");
  }

  #endRequest(trailers: string): void {
    if (this.#requestEnded || this.#home === undefined || this.streamId === 0) return;
    if (this.congested) {
      this.#endWaits = true;
      return;
    }
    this.#requestEnded = true;
    if (trailers === "") this.#home.writeEnd(this.streamId);
    else this.#home.writeTrailers(this.streamId, trailers);
  }

  /** There may be room again. */
  pump(): void {
    if (this.#queue?.pump() !== true) return;
    if (this.#endWaits) this.#endRequest(this.#chunks?.trailers ?? "");
    this.#borrower?.onUpstreamDrain();
  }

  // ---- What the endpoint sends. Each returns false when it cannot be right.

  /** An answer's fields, interim or final. */
  onFields(list: HeaderList, { status, contentLength }: ResponseFields, endStream: boolean): boolean {
    if (this.#headReceived) return false;
    if (status < 200) {
      if (!endStream) this.#deliver(answerHead(list, status, ""));
      return !endStream;
    }
    this.#headReceived = true;
    if (this.#protocol !== "" && status < 300) {
      this.#isTunnel = true;
      this.#deliver(tunnelHead(list, this.#protocol, this.#webSocketKey));
      return endStream ? this.onEnd("") : true;
    }
    const bodiless = this.#isHead || status === 204 || status === 304;
    if (endStream && !bodiless && contentLength > 0) return false;
    this.#answerEnded = endStream;
    this.#answerRemaining = bodiless ? 0 : contentLength;
    // An answer that is nothing but fields stays one: with trailers in it (gRPC), a length would be out of place.
    this.#answerChunked = !bodiless && contentLength < 0 && !(endStream && list.find("grpc-status") < 0);
    let framing = "";
    if (this.#answerChunked) framing = "Transfer-Encoding: chunked\r\n";
    else if (endStream && !bodiless && contentLength < 0) framing = "Content-Length: 0\r\n";
    const isWhole = this.#answerChunked && endStream;
    this.#deliver(answerHead(list, status, framing, isWhole ? "0\r\n\r\n" : ""));
    if (endStream) this.#closed(true);
    return true;
  }

  onData(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#headReceived) return false;
    if (this.#answerRemaining !== UNKNOWN) {
      this.#answerRemaining -= end - start;
      if (this.#answerRemaining < 0) return false;
    }
    if (this.#paused) this.#owed += end - start;
    else this.#home?.giveBack(this, end - start);
    const data = bytes.subarray(start, end);
    if (!this.#answerChunked) this.#deliver(data);
    else this.#deliver(Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, CHUNK_END]));
    return true;
  }

  /** The answer is complete. `trailers`: lines with their line breaks. */
  onEnd(trailers: string): boolean {
    if (!this.#headReceived || this.#answerRemaining > 0) return false;
    this.#answerEnded = true;
    if (this.#answerChunked) this.#deliver(Buffer.from(`0\r\n${trailers}\r\n`, "latin1"));
    // A tunnel that ends shows as a closed connection; what was given back before END_STREAM came is forgotten now.
    this.#closed(true);
    return true;
  }

  endpointLeft(): void {
    this.#borrower?.onEndpointLeft();
  }

  /** It was reset, or its connection is gone. */
  onReset(): void {
    this.#answerEnded = true;
    this.#requestEnded = true;
    this.#closed(false);
  }

  onDeadline(nowMs: number): void {
    if (this.#borrower !== undefined) this.#borrower.onUpstreamDeadline(nowMs);
    else this.#take();
  }

  /** No more bytes will come, so none are asked for. */
  get answerEnded(): boolean {
    return this.#answerEnded;
  }

  #deliver(bytes: Buffer): void {
    this.#borrower?.onUpstreamData(bytes);
  }

  #closed(clean: boolean): void {
    this.#take()?.onUpstreamClosed(clean);
  }

  /** Nobody waits for it any more: tells the endpoint, and forgets it. */
  #take(): Borrower | undefined {
    const borrower = this.#borrower;
    this.#borrower = undefined;
    this.#unusable = true;
    this.deadlineMs = NEVER;
    this.#queue?.clear();
    this.#keeper.forget(this);
    this.#home?.leave(this, this.#answerEnded && this.#requestEnded ? H2_ERROR.noError : H2_ERROR.cancel);
    return borrower;
  }
}
