/** One request of an HTTP/2 client and its answer: the client's side of one exchange. */
import type { ErrorCode } from "../../base/errors.ts";
import type { Head } from "../../protocols/http1/head.ts";
import type { TargetForm } from "../../protocols/http1/inspect-request.ts";
import type { ReceiveWindow, SendWindow } from "../../protocols/http2/flow-window.ts";
import { H2_ERROR } from "../../protocols/http2/frames.ts";
import { afterPeerEnded, afterWeEnded, maySend, STREAM, type StreamState } from "../../protocols/http2/stream-state.ts";
import { type Deadline, NEVER } from "../../transport/deadlines.ts";
import type { Origin, Place } from "../../transport/origin.ts";
import type { ClientSide, ResponseHead } from "../client-side.ts";
import { Exchange } from "../exchange.ts";
import { abandon, breakOff, handleExchange, refuse } from "../handle-exchange.ts";
import { takeHead } from "../heads.ts";
import { readMadeHead } from "./request-head.ts";
import { ownLines } from "./response-fields.ts";
import type { StreamConnection } from "./stream-connection.ts";
import { StreamOutput } from "./stream-output.ts";
import { StreamTunnel } from "./stream-tunnel.ts";
import { MISMATCH, StreamUpload, type UploadProblem } from "./stream-upload.ts";

/** How long a request that is answered already is read and thrown away. */
const LINGER_MS = 2_000;
const REFUSED_FORMS: Partial<Record<TargetForm, ErrorCode>> = { bad: "E_BAD_TARGET", authority: "E_CONNECT_REFUSED" };

export class ClientStream implements ClientSide, Deadline {
  readonly id: number;
  state: StreamState;
  deadlineMs = NEVER;
  sweepIndex = -1;
  readonly #connection: StreamConnection<ClientStream>;
  readonly #data: StreamOutput;
  #exchange: Exchange | undefined;
  /** For CONNECT with `:protocol` only. */
  #tunnel: StreamTunnel | undefined;
  /** Undefined when the request ends with its head. */
  readonly #upload: StreamUpload | undefined;
  #trailers = "";
  /** The answer is complete here; it may still wait for a window. */
  #answered = false;

  constructor(connection: StreamConnection<ClientStream>, id: number, receiveWindow: number, endStream: boolean) {
    this.id = id;
    this.#connection = connection;
    this.#data = new StreamOutput(id, connection.output, connection.initialSendWindow);
    this.#upload = endStream ? undefined : new StreamUpload(receiveWindow);
    this.state = endStream ? STREAM.halfClosedRemote : STREAM.open;
  }

  get sendWindow(): SendWindow {
    return this.#data.window;
  }

  get receiveWindow(): ReceiveWindow | undefined {
    return this.#upload?.window;
  }

  /**
   * Begins the exchange with a head that was made of the fields (request-head.ts). `connects`: it is for a tunnel.
   * `refusal`: it is to be answered with an error, whatever the head says.
   */
  begin(bytes: Buffer, connects: boolean, nowMs: number, refusal?: ErrorCode): void {
    const { context, settings } = this.#connection;
    const head = takeHead(bytes, 0);
    const problem = readMadeHead(head, bytes.length, settings.limits);
    const exchange = new Exchange(context, settings, this, head, nowMs);
    this.#exchange = exchange;
    const code = refusal ?? problem ?? REFUSED_FORMS[exchange.form];
    if (code !== undefined) return refuse(exchange, code);
    if (connects) this.#tunnel = new StreamTunnel();
    if (exchange.body.complete) exchange.receivedMs = nowMs;
    else this.#upload?.begin(head.chunked, nowMs);
    handleExchange(exchange);
    this.#armDeadline();
  }

  /** Undefined, or why what has come cannot be right (then the stream is reset with PROTOCOL_ERROR). */
  onData(bytes: Buffer, start: number, end: number): string | undefined {
    const exchange = this.#exchange;
    const upload = this.#upload;
    const tunnel = this.#tunnel;
    if (upload === undefined || exchange === undefined || exchange.finished) {
      this.#discard(end - start);
      return undefined;
    }
    exchange.nowMs = this.#connection.context.clock.now();
    if (upload.isPaused || tunnel?.isOpen === false) upload.owe(end - start);
    else this.#connection.giveBack(this, end - start);
    if (tunnel === undefined) return this.#afterTaking(exchange, upload.take(exchange, bytes, start, end));
    tunnel.fromClient(exchange.attempt, bytes, start, end);
    return undefined;
  }

  /** The request is complete. `trailers`: lines with their line breaks. Returns what `onData` does. */
  onEnd(trailers: string): string | undefined {
    this.state = afterPeerEnded(this.state);
    const exchange = this.#exchange;
    if (this.state === STREAM.closed) this.#connection.streamDone(this);
    if (exchange === undefined || exchange.finished) return undefined;
    exchange.nowMs = this.#connection.context.clock.now();
    if (this.#tunnel === undefined) return this.#afterTaking(exchange, this.#upload?.end(exchange, trailers));
    this.#tunnel.clientEnded(exchange.attempt);
    return undefined;
  }

  #afterTaking(exchange: Exchange, problem: UploadProblem | undefined): string | undefined {
    if (problem === MISMATCH) return problem;
    if (problem === undefined) this.#armDeadline();
    else breakOff(exchange, problem);
    return undefined;
  }

  /** The client has reset the stream, or its connection is gone. */
  onReset(): void {
    this.state = STREAM.closed;
    this.deadlineMs = NEVER;
    this.#data.clear();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (exchange !== undefined) abandon(exchange, "E_CLIENT_CLOSED");
  }

  onDeadline(): void {
    const exchange = this.#exchange;
    if (this.#data.isWaiting) {
      this.#exchange = undefined;
      if (exchange !== undefined) abandon(exchange, "E_CLIENT_STALLED");
      this.#connection.reset(this, H2_ERROR.cancel);
    } else if (exchange === undefined) this.#connection.reset(this, H2_ERROR.noError);
    else if (!this.#connection.mayReceive) this.#armDeadline();
    else if (this.#awaitsBody(exchange)) breakOff(exchange, "E_BODY_TIMEOUT");
  }

  /** Bytes to give back to the connection's window now that the stream is gone. */
  takeOwed(): number {
    return this.#upload?.takeOwed() ?? 0;
  }

  /** There is no time left. */
  closeNow(): void {
    if (this.sayGoodbye() && !this.#data.isWaiting) this.#connection.output.endStream(this.id);
  }

  get protocol(): string {
    return "HTTP/2.0";
  }

  get ip(): string {
    return this.#connection.origin.clientIp;
  }

  get port(): number {
    return this.#connection.clientPort;
  }

  get origin(): Origin {
    return this.#connection.origin;
  }

  ends(): { client: Place; local: Place } {
    return this.#connection.ends();
  }

  get congested(): boolean {
    return this.#data.isWaiting;
  }

  takesChunks(): boolean {
    return false;
  }

  sendHead(response: ResponseHead, body: Buffer, start: number, end: number): void {
    const { head, framing, appended } = response;
    const { output } = this.#connection;
    if (head.status === 101) {
      this.#tunnel?.open(head);
      output.head(this.id, head, 200, ownLines(this.#connection, head.hasDate), false);
    } else if (this.#tunnel !== undefined && head.status < 300) return this.#refuseTunnel(502);
    else
      output.head(this.id, head, head.status, ownLines(this.#connection, head.hasDate) + appended, framing === "none");
    if (framing === "none" && head.status !== 101) this.state = afterWeEnded(this.state);
    else this.sendBody(body, start, end);
  }

  sendBody(bytes: Buffer, start: number, end: number): void {
    if (start === end || !maySend(this.state)) return;
    const exchange = this.#exchange;
    if (exchange !== undefined) exchange.bytesOut += end - start;
    this.#tunnel?.fromEndpoint(bytes, start, end);
    const waited = this.#data.isWaiting;
    this.#data.send(bytes, start, end);
    if (waited || !this.#data.isWaiting) return;
    this.#connection.waits(this);
    this.#armDeadline();
  }

  sendInterim(head: Head): void {
    this.#connection.output.head(this.id, head, head.status, "", false);
  }

  sendTrailers(lines: string): void {
    this.#trailers = lines;
  }

  sendOwn(status: number, headers: string, body: string): void {
    if (this.#tunnel !== undefined && status < 300) return this.#refuseTunnel(501);
    const bytes = Buffer.from(body);
    const bodiless = status < 200 || status === 204 || status === 304;
    const withBody = !bodiless && bytes.length > 0 && this.#exchange?.isHeadRequest !== true;
    const length = bodiless ? "" : `content-length: ${bytes.length}\r\n`;
    this.#connection.output.ownHead(this.id, status, ownLines(this.#connection, false) + headers + length, !withBody);
    if (withBody) this.sendBody(bytes, 0, bytes.length);
    else this.state = afterWeEnded(this.state);
  }

  /** An answer to the GET that the endpoint has seen is none to CONNECT: a 200 would say that there is a tunnel. */
  #refuseTunnel(status: number): void {
    if (this.#exchange !== undefined) this.#exchange.status = status;
    this.#connection.output.ownHead(this.id, status, `${ownLines(this.#connection, false)}content-length: 0\r\n`, true);
    this.state = afterWeEnded(this.state);
  }

  sayGoodbye(): boolean {
    const goodbye = this.#tunnel?.goodbye(this.#exchange?.attempt, this.#connection.context.random);
    if (goodbye === undefined || !maySend(this.state)) return false;
    this.sendBody(goodbye, 0, goodbye.length);
    return true;
  }

  answered(): void {
    this.#exchange = undefined;
    this.#answered = true;
    const owed = this.takeOwed();
    if (owed > 0) this.#connection.giveBack(this, owed);
    if (!this.#data.isWaiting) this.#end();
  }

  abort(): void {
    this.#exchange = undefined;
    this.#connection.reset(this, H2_ERROR.internalError);
  }

  pauseBody(): void {
    this.#upload?.pause(this.#connection.context.clock.now());
  }

  resumeBody(): void {
    const exchange = this.#exchange;
    if (exchange !== undefined) this.#tunnel?.passOn(exchange.attempt);
    this.#upload?.resume(this.#connection.context.clock.now());
    const owed = this.takeOwed();
    if (owed > 0) this.#connection.giveBack(this, owed);
    this.#armDeadline();
  }

  /** There may be room again. */
  pump(): void {
    if (!this.#data.isWaiting) return;
    const progress = this.#data.pump();
    if (progress !== "none") this.#armDeadline();
    if (progress !== "all") this.#connection.waits(this);
    else if (this.#answered) this.#end();
    else this.#exchange?.attempt?.onClientDrain();
  }

  #end(): void {
    if (maySend(this.state)) {
      if (this.#trailers === "") this.#connection.output.endStream(this.id);
      else this.#connection.output.trailers(this.id, this.#trailers);
      this.state = afterWeEnded(this.state);
    }
    this.deadlineMs = NEVER;
    if (this.state === STREAM.closed) this.#connection.streamDone(this);
    else this.#setDeadline(this.#connection.context.clock.now() + LINGER_MS);
  }

  /**
   * The answer is whole although the request is not. We could tell the client to stop (RFC 9113 section 8.1), but some
   * then forget the answer: so what still comes is thrown away for a while, and told to stop only then.
   */
  #discard(bytes: number): void {
    this.#connection.giveBack(this, bytes);
    if (this.#upload?.discard(bytes) === false) this.#connection.reset(this, H2_ERROR.noError);
  }

  /** Which silence is the client's fault, and how long it may last. */
  #armDeadline(): void {
    const { context, settings } = this.#connection;
    const exchange = this.#exchange;
    if (this.#data.isWaiting) this.#setDeadline(context.clock.now() + settings.timeouts.write);
    else if (exchange !== undefined && this.#awaitsBody(exchange))
      this.#setDeadline(context.clock.now() + settings.timeouts.body);
    else this.deadlineMs = NEVER;
  }

  #awaitsBody(exchange: Exchange): boolean {
    return !exchange.body.complete && this.#upload?.isPaused === false;
  }

  /** Most streams never have one. */
  #setDeadline(atMs: number): void {
    this.deadlineMs = atMs;
    this.#connection.context.sweep.add(this);
  }
}
