/** One request of an HTTP/2 client and its answer: the client's side of one exchange. */
import type { ErrorCode } from "../../base/errors.ts";
import { BAD, type Head, MORE } from "../../protocols/http1/head.ts";
import { inspectRequest } from "../../protocols/http1/inspect-request.ts";
import type { ResponseFraming } from "../../protocols/http1/inspect-response.ts";
import { parseRequestHead } from "../../protocols/http1/parse-request.ts";
import { ReceiveWindow, SendWindow } from "../../protocols/http2/flow-window.ts";
import { H2_ERROR } from "../../protocols/http2/frames.ts";
import { afterPeerEnded, afterWeEnded, STREAM, type StreamState } from "../../protocols/http2/stream-state.ts";
import { type Deadline, NEVER } from "../../transport/deadlines.ts";
import type { Origin, Place } from "../../transport/origin.ts";
import type { ClientSide, ResponseHead } from "../client-side.ts";
import type { HttpContext } from "../context.ts";
import { Exchange } from "../exchange.ts";
import { abandon, breakOff, handleExchange, refuse } from "../handle-exchange.ts";
import { takeHead } from "../heads.ts";
import type { ListenerSnapshot } from "../snapshot.ts";

/** What a stream needs of its connection. All that is sent is gathered and leaves later, in one write. */
export interface StreamConnection {
  readonly context: HttpContext;
  readonly settings: ListenerSnapshot;
  readonly origin: Origin;
  readonly clientPort: number;
  readonly initialSendWindow: number;
  /** Bytes of DATA that may go out now, over all streams; 0 while the client does not take what it was sent. */
  readonly sendable: number;
  ends(): { client: Place; local: Place };
  writeHead(stream: ClientStream, head: Head | undefined, status: number, lines: string, endStream: boolean): void;
  writeTrailers(stream: ClientStream, lines: string): void;
  /** Writes DATA of at most `sendable` bytes and counts them. */
  writeData(stream: ClientStream, bytes: Buffer, start: number, end: number): void;
  /** Ends the stream: by a flag on what is still here of its DATA, or by an empty frame. */
  writeEnd(stream: ClientStream): void;
  /** `bytes` of what the client sent are passed on: it may send as many more. */
  giveBack(stream: ClientStream, bytes: number): void;
  reset(stream: ClientStream, code: number): void;
  /** Both directions have ended. */
  streamDone(stream: ClientStream): void;
}

/** Waits for room in a window. */
interface Waiting {
  readonly bytes: Buffer;
  start: number;
  readonly end: number;
}

/** How much of a request that is answered already is read and thrown away, and for how long. */
const LINGER_MS = 2_000;
const LINGER_BYTES = 4 * 1_048_576;
const CHUNK_END = Buffer.from("\r\n");
const NOTHING = Buffer.alloc(0);
const NO_HEAD = Buffer.from("GET / HTTP/1.1\r\n\r\n");

export class ClientStream implements ClientSide, Deadline {
  readonly id: number;
  state: StreamState;
  deadlineMs = NEVER;
  sweepIndex = -1;
  readonly sendWindow: SendWindow;
  readonly receiveWindow: ReceiveWindow;
  readonly #connection: StreamConnection;
  #exchange: Exchange | undefined;
  #waiting: Waiting[] | undefined;
  #trailers = "";
  /** The answer is complete here; it may still wait for a window. */
  #answered = false;
  #bodyPaused = false;
  #owed = 0;
  #discarded = 0;
  #chunked = false;
  /** An upgrade was agreed on: DATA is no HTTP any more (RFC 8441 section 5). */
  #tunnel = false;

  constructor(connection: StreamConnection, id: number, receiveWindow: number, endStream: boolean) {
    this.id = id;
    this.#connection = connection;
    this.sendWindow = new SendWindow(connection.initialSendWindow);
    this.receiveWindow = new ReceiveWindow(receiveWindow);
    this.state = endStream ? STREAM.halfClosedRemote : STREAM.open;
  }

  // ---- The request

  /** Begins the exchange with a head that was made of the fields (request-head.ts). */
  begin(bytes: Buffer, nowMs: number): void {
    const { context, settings } = this.#connection;
    const head = takeHead(bytes, 0);
    const result = parseRequestHead(head, bytes.length, settings.limits);
    const problem = result === BAD ? head.error : result === MORE ? "E_BAD_HEADER" : inspectRequest(head);
    const exchange = new Exchange(context, settings, this, head, nowMs);
    this.#exchange = exchange;
    if (problem !== undefined) return refuse(exchange, problem);
    if (exchange.form === "bad") return refuse(exchange, "E_BAD_TARGET");
    if (exchange.form === "authority") return refuse(exchange, "E_CONNECT_REFUSED");
    this.#chunked = head.chunked;
    if (exchange.body.complete) exchange.receivedMs = nowMs;
    handleExchange(exchange);
    this.#armDeadline();
  }

  /** The request's fields are beyond the limits: there is no head to speak of, only an answer. */
  refuse(code: ErrorCode, nowMs: number): void {
    const { context, settings } = this.#connection;
    const head = takeHead(NO_HEAD, 0);
    parseRequestHead(head, NO_HEAD.length, settings.limits);
    const exchange = new Exchange(context, settings, this, head, nowMs);
    this.#exchange = exchange;
    refuse(exchange, code);
  }

  /** Undefined, or why what has come cannot be right (then the stream is reset with PROTOCOL_ERROR). */
  onData(bytes: Buffer, start: number, end: number): string | undefined {
    const exchange = this.#exchange;
    if (exchange === undefined || exchange.finished) {
      this.#discard(end - start);
      return undefined;
    }
    exchange.nowMs = this.#connection.context.clock.now();
    if (this.#bodyPaused) this.#owed += end - start;
    else this.#connection.giveBack(this, end - start);
    if (this.#tunnel) {
      exchange.attempt?.onRequestBody(bytes, start, end);
      return undefined;
    }
    if (exchange.body.complete) return "more DATA than content-length says";
    if (this.#chunked) {
      const chunk = chunkOf(bytes, start, end);
      this.#take(exchange, chunk, 0, chunk.length);
      return undefined;
    }
    const stop = this.#take(exchange, bytes, start, end);
    return stop < end ? "more DATA than content-length says" : undefined;
  }

  /** The request is complete. `trailers`: lines with their line breaks. */
  onEnd(trailers: string): string | undefined {
    this.state = afterPeerEnded(this.state);
    const exchange = this.#exchange;
    if (this.state === STREAM.closed) this.#connection.streamDone(this);
    if (exchange === undefined || exchange.finished) return undefined;
    exchange.nowMs = this.#connection.context.clock.now();
    if (this.#tunnel) exchange.attempt?.onClientEnd();
    else if (this.#chunked) {
      const last = Buffer.from(`0\r\n${trailers}\r\n`, "latin1");
      this.#take(exchange, last, 0, last.length);
    } else if (!exchange.body.complete) return "less DATA than content-length says";
    this.#armDeadline();
    return undefined;
  }

  #take(exchange: Exchange, bytes: Buffer, start: number, end: number): number {
    const { body } = exchange;
    const stop = body.consume(bytes, start, end);
    if (body.problem !== undefined) {
      breakOff(exchange, body.problem);
      return end;
    }
    if (body.complete) exchange.receivedMs = exchange.nowMs;
    if (exchange.attempt === undefined) exchange.hold(bytes, start, stop);
    else exchange.attempt.onRequestBody(bytes, start, stop);
    this.#armDeadline();
    return stop;
  }

  /** The client has reset the stream, or its connection is gone. */
  onReset(): void {
    this.state = STREAM.closed;
    this.deadlineMs = NEVER;
    this.#waiting = undefined;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (exchange !== undefined) abandon(exchange, "E_CLIENT_CLOSED");
  }

  onDeadline(): void {
    const exchange = this.#exchange;
    if (this.#waiting !== undefined) {
      if (exchange !== undefined) abandon(exchange, "E_CLIENT_STALLED");
      this.#exchange = undefined;
      this.#connection.reset(this, H2_ERROR.cancel);
    } else if (exchange === undefined) this.#connection.reset(this, H2_ERROR.noError);
    else if (!exchange.body.complete && !this.#bodyPaused) breakOff(exchange, "E_BODY_TIMEOUT");
  }

  // ---- The answer (ClientSide)

  get ip(): string {
    return this.#connection.origin.clientIp;
  }

  get port(): number {
    return this.#connection.clientPort;
  }

  get origin(): Origin {
    return this.#connection.origin;
  }

  readonly protocol = "HTTP/2.0";

  ends(): { client: Place; local: Place } {
    return this.#connection.ends();
  }

  get congested(): boolean {
    return this.#waiting !== undefined;
  }

  takesChunks(_framing: ResponseFraming): boolean {
    return false;
  }

  sendHead(response: ResponseHead, body: Buffer, start: number, end: number): void {
    const { head, framing, appended } = response;
    const { context, settings } = this.#connection;
    const date = (head.hasDate ? "" : context.date.line()) + settings.hstsLine;
    if (head.status === 101) {
      this.#tunnel = true;
      this.#connection.writeHead(this, head, 200, date + withoutUpgrade(appended), false);
    } else this.#connection.writeHead(this, head, head.status, date + appended, framing === "none");
    if (framing === "none" && head.status !== 101) this.state = afterWeEnded(this.state);
    else this.sendBody(body, start, end);
  }

  sendBody(bytes: Buffer, start: number, end: number): void {
    if (start === end || this.state === STREAM.closed) return;
    const exchange = this.#exchange;
    if (exchange !== undefined) exchange.bytesOut += end - start;
    const sent = this.#waiting === undefined ? this.#write(bytes, start, end) : start;
    if (sent === end) return;
    this.#waiting ??= [];
    this.#waiting.push({ bytes, start: sent, end });
    this.#armDeadline();
  }

  sendInterim(head: Head): void {
    this.#connection.writeHead(this, head, head.status, "", false);
  }

  sendTrailers(lines: string): void {
    this.#trailers = lines;
  }

  sendOwn(status: number, headers: string, body: string): void {
    const bytes = Buffer.from(body);
    const bodiless = status < 200 || status === 204 || status === 304;
    const exchange = this.#exchange;
    const withBody = !bodiless && bytes.length > 0 && exchange?.isHeadRequest !== true;
    const length = bodiless ? "" : `content-length: ${bytes.length}\r\n`;
    const { context, settings } = this.#connection;
    const lines = context.date.line() + settings.hstsLine + headers + length;
    this.#connection.writeHead(this, undefined, status, lines, !withBody);
    if (withBody) this.sendBody(bytes, 0, bytes.length);
    else this.state = afterWeEnded(this.state);
  }

  answered(): void {
    this.#exchange = undefined;
    this.#answered = true;
    if (this.#waiting === undefined) this.#end();
  }

  abort(): void {
    this.#exchange = undefined;
    this.#connection.reset(this, H2_ERROR.internalError);
  }

  pauseBody(): void {
    this.#bodyPaused = true;
  }

  resumeBody(): void {
    if (!this.#bodyPaused) return;
    this.#bodyPaused = false;
    const owed = this.#owed;
    this.#owed = 0;
    if (owed > 0) this.#connection.giveBack(this, owed);
    this.#armDeadline();
  }

  /** There may be room again. */
  pump(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    while (waiting.length > 0) {
      const first = waiting[0] as Waiting;
      const before = first.start;
      first.start = this.#write(first.bytes, first.start, first.end);
      if (first.start > before) this.#armDeadline();
      if (first.start < first.end) return;
      waiting.shift();
    }
    this.#waiting = undefined;
    this.#armDeadline();
    if (this.#answered) this.#end();
    else this.#exchange?.attempt?.onClientDrain();
  }

  /** Sends what the windows allow now; returns where it stopped. */
  #write(bytes: Buffer, start: number, end: number): number {
    const room = Math.min(end - start, this.sendWindow.available, this.#connection.sendable);
    if (room <= 0) return start;
    this.sendWindow.take(room);
    this.#connection.writeData(this, bytes, start, start + room);
    return start + room;
  }

  #end(): void {
    if (this.state === STREAM.closed) return;
    this.deadlineMs = NEVER;
    if (this.state === STREAM.open || this.state === STREAM.halfClosedRemote) {
      if (this.#trailers !== "") this.#connection.writeTrailers(this, this.#trailers);
      else this.#connection.writeEnd(this);
      this.state = afterWeEnded(this.state);
    }
    if (this.state === STREAM.closed) this.#connection.streamDone(this);
    else this.deadlineMs = this.#connection.context.clock.now() + LINGER_MS;
  }

  /**
   * The answer is whole although the request is not. We could tell the client to stop (RFC 9113 section 8.1), but some
   * then forget the answer: so what still comes is thrown away for a while, and told to stop only then.
   */
  #discard(bytes: number): void {
    this.#connection.giveBack(this, bytes);
    this.#discarded += bytes;
    if (this.#discarded > LINGER_BYTES) this.#connection.reset(this, H2_ERROR.noError);
  }

  /** Which silence is the client's fault, and how long it may last. */
  #armDeadline(): void {
    const { context, settings } = this.#connection;
    const exchange = this.#exchange;
    if (this.#waiting !== undefined) this.deadlineMs = context.clock.now() + settings.timeouts.write;
    else if (exchange !== undefined && !exchange.body.complete && !this.#bodyPaused && !this.#tunnel)
      this.deadlineMs = context.clock.now() + settings.timeouts.body;
    else this.deadlineMs = NEVER;
  }
}

/** DATA of unknown length goes on as a chunk, in one piece. */
function chunkOf(bytes: Buffer, start: number, end: number): Buffer {
  const size = Buffer.from(`${(end - start).toString(16)}\r\n`);
  return Buffer.concat([size, start === end ? NOTHING : bytes.subarray(start, end), CHUNK_END]);
}

function withoutUpgrade(lines: string): string {
  return lines.replace(/^(connection|upgrade):.*\r\n/gim, "");
}
