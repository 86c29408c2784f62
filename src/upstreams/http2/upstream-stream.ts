/**
 * One exchange on an HTTP/2 connection to an endpoint. The exchange writes HTTP/1.1 and reads HTTP/1.1; here it becomes
 * a stream: the head becomes fields, chunks become DATA, and the other way round.
 */
import { createHash } from "node:crypto";
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

/** The connection that a stream is on. */
export interface StreamHome extends DataSink {
  readonly hasServed: boolean;
  readonly initialSendWindow: number;
  /** The next stream's number, 0 when there are no more. */
  beginStream(stream: UpstreamStream): number;
  writeRequest(stream: UpstreamStream, head: Head, protocol: string, endStream: boolean): void;
  writeTrailers(streamId: number, lines: string): void;
  writeEnd(streamId: number): void;
  giveBack(stream: UpstreamStream, bytes: number): void;
  /** Resets the stream, if it is not over, and forgets it. */
  leave(stream: UpstreamStream, code: number): void;
  now(): number;
}

/** Larger than anything that exchanges write. */
const LIMITS = { bytes: 2_097_152, fields: 2_000 };
const RECEIVE_WINDOW = 262_144;
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CHUNK_END = Buffer.from("\r\n");
/** Used while one head is turned into fields. */
const head = new Head();

export class UpstreamStream implements UpstreamChannel, Deadline {
  reused = false;
  deadlineMs = NEVER;
  sweepIndex = -1;
  streamId = 0;
  readonly receiveWindow = new ReceiveWindow(RECEIVE_WINDOW);
  sendWindow = new SendWindow();
  /** Both sides have said their last word. */
  over = false;
  #home: StreamHome | undefined;
  #borrower: Borrower | undefined;
  #queue: SendQueue | undefined;
  #chunks: ChunkedBody | undefined;
  #remaining = 0;
  #requestEnded = false;
  #endWaits = false;
  #isHead = false;
  #tunnelKey: string | undefined;
  #isTunnel = false;
  #answerChunked = false;
  #headReceived = false;
  #paused = false;
  #owed = 0;

  constructor(borrower: Borrower) {
    this.#borrower = borrower;
  }

  get hasBorrower(): boolean {
    return this.#borrower !== undefined;
  }

  get congested(): boolean {
    return this.#queue !== undefined && !this.#queue.isEmpty;
  }

  /** A connection is there for it. */
  place(home: StreamHome): void {
    this.#home = home;
    this.reused = home.hasServed;
  }

  connected(): void {
    this.deadlineMs = NEVER;
    this.#borrower?.onConnected(this);
  }

  /** There is no connection, or the endpoint has not looked at the request: it can be sent elsewhere. */
  refuse(code: ErrorCode): void {
    const borrower = this.#take();
    borrower?.onConnectFailed(code);
  }

  // ---- What the exchange sends (UpstreamChannel)

  send(bytes: Buffer, start: number, end: number, reused: boolean): void {
    if (this.#home === undefined || this.over) return;
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

  release(): void {
    this.#take();
  }

  #sendHead(home: StreamHome, bytes: Buffer, start: number, end: number): number {
    head.reset(bytes, start);
    // Our own words: they are well-formed.
    if (parseRequestHead(head, end, LIMITS) !== DONE || inspectRequest(head) !== undefined) return end;
    this.streamId = home.beginStream(this);
    if (this.streamId === 0) {
      queueMicrotask(() => this.refuse("E_UPSTREAM_REFUSED"));
      return end;
    }
    this.sendWindow = new SendWindow(home.initialSendWindow);
    this.#queue = new SendQueue(this.streamId, this.sendWindow, home);
    const protocol = head.upgradeField >= 0 ? head.value(head.upgradeField) : "";
    if (protocol !== "") this.#tunnelKey = head.get("sec-websocket-key") ?? "";
    this.#isHead = bytes.toString("latin1", head.start, head.methodEnd) === "HEAD";
    this.#chunks = head.chunked ? new ChunkedBody() : undefined;
    this.#remaining = Math.max(0, head.contentLength);
    this.#requestEnded = protocol === "" && this.#chunks === undefined && this.#remaining === 0;
    home.writeRequest(this, head, protocol, this.#requestEnded);
    return head.position;
  }

  #sendBody(bytes: Buffer, start: number, end: number, reused: boolean): void {
    const queue = this.#queue;
    if (queue === undefined || this.#requestEnded) return;
    const chunks = this.#chunks;
    if (chunks !== undefined) {
      chunks.consume(bytes, start, end, (from, to) => queue.send(bytes, from, to, reused));
      if (chunks.ended) this.#endRequest(chunks.trailers);
      return;
    }
    queue.send(bytes, start, end, reused);
    if (this.#tunnelKey !== undefined) return;
    this.#remaining -= end - start;
    if (this.#remaining <= 0) this.#endRequest("");
  }

  #endRequest(trailers: string): void {
    if (this.#requestEnded || this.#home === undefined) return;
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

  // ---- What the endpoint sends

  /** An answer's fields, interim or final. False when they cannot be right. */
  onFields(list: HeaderList, { status, contentLength }: ResponseFields, endStream: boolean): boolean {
    if (this.#headReceived) return false;
    const lines = list.bytes.toString("latin1", list.valueEnd(0) + 2, list.length);
    if (status < 200) {
      if (endStream) return false;
      this.#deliver(Buffer.from(`HTTP/1.1 ${status} \r\n${lines}\r\n`, "latin1"));
      return true;
    }
    this.#headReceived = true;
    if (this.#tunnelKey !== undefined && status === 200) {
      this.#isTunnel = true;
      this.#deliver(
        Buffer.from(`HTTP/1.1 101 Switching Protocols\r\n${upgradeLines(this.#tunnelKey)}${lines}\r\n`, "latin1"),
      );
      return true;
    }
    const bodiless = this.#isHead || status === 204 || status === 304;
    this.#answerChunked = !endStream && !bodiless && contentLength < 0;
    let framing = "";
    if (this.#answerChunked) framing = "Transfer-Encoding: chunked\r\n";
    else if (endStream && !bodiless && contentLength < 0) framing = "Content-Length: 0\r\n";
    this.over = endStream;
    this.#deliver(Buffer.from(`HTTP/1.1 ${status} \r\n${lines}${framing}\r\n`, "latin1"));
    return true;
  }

  onData(bytes: Buffer, start: number, end: number): boolean {
    if (!this.#headReceived) return false;
    if (this.#paused) this.#owed += end - start;
    else this.#home?.giveBack(this, end - start);
    const data = bytes.subarray(start, end);
    if (!this.#answerChunked) this.#deliver(data);
    else this.#deliver(Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, CHUNK_END]));
    return true;
  }

  /** The answer is complete. `trailers`: lines with their line breaks. */
  onEnd(trailers: string): void {
    this.over = true;
    if (this.#answerChunked) this.#deliver(Buffer.from(`0\r\n${trailers}\r\n`, "latin1"));
    // What was announced and did not come, or a tunnel that ends, shows as a closed connection.
    if (this.#borrower !== undefined) this.#closed(true);
  }

  endpointLeft(): void {
    this.#borrower?.onEndpointLeft();
  }

  /** It was reset, or its connection is gone. */
  onReset(clean: boolean): void {
    this.over = true;
    this.#closed(clean);
  }

  onDeadline(nowMs: number): void {
    this.#borrower?.onUpstreamDeadline(nowMs);
  }

  get isTunnel(): boolean {
    return this.#isTunnel;
  }

  #deliver(bytes: Buffer): void {
    this.#borrower?.onUpstreamData(bytes);
  }

  #closed(clean: boolean): void {
    const borrower = this.#take();
    borrower?.onUpstreamClosed(clean);
  }

  /** Nobody waits for it any more: tells the endpoint, and forgets it. */
  #take(): Borrower | undefined {
    const borrower = this.#borrower;
    this.#borrower = undefined;
    this.deadlineMs = NEVER;
    this.#queue?.clear();
    this.#home?.leave(this, this.over && this.#requestEnded ? H2_ERROR.noError : H2_ERROR.cancel);
    return borrower;
  }
}

/** What a WebSocket client waits for (RFC 6455 section 4.2.2); HTTP/2 has no need of it. */
function upgradeLines(key: string): string {
  const accept = createHash("sha1").update(`${key}${GUID}`).digest("base64");
  return `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n`;
}
