/**
 * One HTTP/1.1 connection of a client: reads requests one after another, lets each live its life, writes the answers.
 * Requests that are sent ahead wait here, unread, until it is their turn.
 */
import type { ErrorCode } from "../base/errors.ts";
import { BAD, type Head, MORE } from "../protocols/http1/head.ts";
import { inspectRequest } from "../protocols/http1/inspect-request.ts";
import { beginsLikeHttp2 } from "../protocols/http2/frames.ts";
import { NEVER } from "../transport/deadlines.ts";
import type { Origin } from "../transport/origin.ts";
import { AnsweringConnection } from "./answering-connection.ts";
import { BodyPace } from "./body-pace.ts";
import type { ClientSide } from "./client-side.ts";
import type { HttpContext } from "./context.ts";
import { Exchange } from "./exchange.ts";
import { abandon, breakOff, handleExchange, refuse } from "./handle-exchange.ts";
import { RequestReader } from "./request-reader.ts";
import type { ListenerSnapshot } from "./snapshot.ts";

/** After the last answer, what the client still sends is read and thrown away for this long, so that it gets the answer. */
const LINGER_MS = 2_000;
const LINGER_BYTES = 4 * 1_048_576;
/** A client that closes its side so soon after its request has merely finished sending; later, it has given up. */
const FINISHED_SENDING_MS = 1_000;
/** One that has finished sending may wait for its answer, or be gone all the same. It gets this long. */
const HALF_CLOSED_MS = 5_000;
/** An idle connection that has brought nothing for this long will hardly bring anything in the moment it is closed. */
const DRAIN_IDLE_MS = 1_000;

/** What a listener gives its connections; `settings` is replaced when a configuration is loaded. */
export interface ListenerState {
  settings: ListenerSnapshot;
  /** The connection is closed: gives its place back. */
  connectionClosed(connection: ClientConnection): void;
  /** The client speaks HTTP/2; `bytes` are all it has sent. The connection is not used any more. */
  switchToHttp2(connection: ClientConnection, bytes: Buffer): void;
}

type State = "reading" | "exchange" | "tunnel" | "lingering";

export class ClientConnection extends AnsweringConnection implements ClientSide {
  readonly origin: Origin;
  readonly protocol = undefined;
  readonly #listener: ListenerState;
  #state: State = "reading";
  #requests = 0;
  readonly #reader = new RequestReader();
  #exchange: Exchange | undefined;
  #draining = false;
  #peerEnded = false;
  #pace: BodyPace | undefined;
  #lingered = 0;
  #looping = false;

  constructor(context: HttpContext, listener: ListenerState, origin: Origin) {
    super(context);
    this.#listener = listener;
    this.origin = origin;
    this.deadlineMs = context.clock.now() + listener.settings.timeouts.header;
  }

  /** Asked for by the access log only; 0 once the connection is gone. */
  get port(): number {
    return this.origin.told?.client.port ?? this.socket?.remotePort ?? 0;
  }

  get ip(): string {
    return this.origin.clientIp;
  }

  get isIdle(): boolean {
    return this.#state === "reading" && !this.#reader.isReading && !this.congested;
  }

  // ---- What the socket tells

  override onData(bytes: Buffer): void {
    switch (this.#state) {
      case "reading":
        if (this.congested) this.#wait(bytes, 0, bytes.length);
        else this.#read(bytes);
        return;
      case "exchange":
        this.#readBody(bytes);
        return;
      case "tunnel":
        this.#passOn(bytes);
        return;
      case "lingering":
        this.#lingered += bytes.length;
        if (this.#lingered > LINGER_BYTES) this.close();
    }
  }

  override onDrain(): void {
    this.#exchange?.attempt?.onClientDrain();
    if (this.#state === "reading") this.#readOn(this.context.clock.now());
    else if (this.#state === "lingering" && this.#peerEnded) this.close();
    else this.#armDeadline();
  }

  override onProgress(): void {
    this.#armDeadline();
  }

  override onPeerEnd(): void {
    this.#peerEnded = true;
    if (this.#state === "tunnel") this.#exchange?.attempt?.onClientEnd();
    else if (this.#state !== "exchange" && this.congested) this.#closeAfterSending();
    else if (this.#state !== "exchange") this.close();
    else if (this.#exchange !== undefined && this.#hasGivenUp(this.#exchange)) this.close();
    else this.#armDeadline();
  }

  #hasGivenUp(exchange: Exchange): boolean {
    if (exchange.answerBegun) return false;
    if (exchange.stopWaiting !== undefined || !exchange.body.complete) return true;
    return this.context.clock.now() - exchange.receivedMs > FINISHED_SENDING_MS;
  }

  override onClose(): void {
    this.context.sweep.remove(this);
    this.#reader.drop();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (exchange !== undefined) abandon(exchange, "E_CLIENT_CLOSED");
    this.#listener.connectionClosed(this);
  }

  override onDeadline(): void {
    const exchange = this.#exchange;
    if (this.#state === "reading" && this.#reader.isReading)
      this.#refuseHead(this.#reader.finish(), "E_HEADER_TIMEOUT");
    else if (exchange === undefined && this.congested) this.abort();
    else if (exchange === undefined) this.close();
    else if (this.congested) this.#breakConnection(exchange, "E_CLIENT_STALLED");
    else if (!exchange.body.complete && !this.isPaused) breakOff(exchange, "E_BODY_TIMEOUT");
    else if (this.#peerEnded && !exchange.answerBegun) this.#breakConnection(exchange, "E_CLIENT_CLOSED");
  }

  /** The listener is stopping: connections close after the first answer that says so, idle ones soon. */
  drain(): void {
    this.#draining = true;
    // An answer that has begun says whether another request may follow: the client may be sending it right now.
    if (this.#exchange?.answerBegun !== true) this.keepAlive = false;
    // Not at once: a request that is on its way right now would be lost.
    if (this.isIdle) this.deadlineMs = Math.min(this.deadlineMs, this.context.clock.now() + DRAIN_IDLE_MS);
  }

  /** There is no time left. */
  closeNow(): void {
    this.sayGoodbye();
    this.close();
  }

  // ---- Reading requests

  #read(bytes: Buffer): void {
    const reader = this.#reader;
    if (reader.bytes === undefined) {
      if (this.#requests === 0 && this.#isHttp2(bytes)) return this.#listener.switchToHttp2(this, bytes);
      return this.#readFrom(bytes, 0, bytes.length);
    }
    this.#readFrom(reader.join(bytes), 0, reader.length);
  }

  #isHttp2(bytes: Buffer): boolean {
    return this.#listener.settings.http2 && this.origin.tls === undefined && beginsLikeHttp2(bytes);
  }

  /** Reads requests as long as there are whole ones, the one before has been answered, and answers are being read. */
  #readFrom(bytes: Buffer, start: number, end: number): void {
    let cursor = start;
    this.#looping = true;
    while (cursor < end && this.#state === "reading" && !this.congested) cursor = this.#readRequest(bytes, cursor, end);
    this.#looping = false;
    if (cursor < end && this.#state === "reading") this.#wait(bytes, cursor, end);
    else if (this.#state === "reading" && !this.#reader.isReading) this.#reader.clear();
  }

  /** Reads one request, or as much of it as there is. Returns where it stopped. */
  #readRequest(bytes: Buffer, start: number, end: number): number {
    const { timeouts, limits } = this.#listener.settings;
    const reader = this.#reader;
    if (!reader.isReading) {
      reader.begin(bytes, start, this.context.clock.now());
      this.deadlineMs = reader.startedMs + timeouts.header;
    }
    const result = reader.read(bytes, start, end, limits);
    if (result === MORE) return end;
    const head = reader.finish();
    const problem = result === BAD ? head.error : inspectRequest(head);
    if (problem !== undefined) {
      this.#refuseHead(head, problem);
      return end;
    }
    reader.clear();
    return this.#beginExchange(head, bytes, end);
  }

  #beginExchange(head: Head, bytes: Buffer, end: number): number {
    const { settings } = this.#listener;
    const exchange = this.#newExchange(head);
    this.#requests++;
    const persistent =
      head.minorVersion === 1 ? !head.connectionClose : head.connectionKeepAlive && !head.connectionClose;
    this.keepAlive =
      persistent && !this.#draining && !this.context.draining && this.#requests < settings.maxRequestsPerConnection;

    if (exchange.form === "bad") return this.#refuseExchange(exchange, "E_BAD_TARGET", end);
    if (exchange.form === "authority") return this.#refuseExchange(exchange, "E_CONNECT_REFUSED", end);
    const { body } = exchange;
    const bodyEnd = body.consume(bytes, head.position, end);
    if (body.problem !== undefined) return this.#refuseExchange(exchange, body.problem, end);
    exchange.hold(bytes, head.position, bodyEnd);
    this.#pace = body.complete ? undefined : new BodyPace(exchange.nowMs);
    if (body.complete) exchange.receivedMs = exchange.startedMs;
    handleExchange(exchange);
    if (this.#exchange === exchange) {
      this.#armDeadline();
      if (bodyEnd < end) this.#wait(bytes, bodyEnd, end);
      return end;
    }
    return bodyEnd;
  }

  #newExchange(head: Head): Exchange {
    const exchange = new Exchange(this.context, this.#listener.settings, this, head, this.#reader.startedMs);
    this.#exchange = exchange;
    this.#state = "exchange";
    return exchange;
  }

  #readBody(bytes: Buffer): void {
    const exchange = this.#exchange as Exchange;
    const { body } = exchange;
    const wasComplete = body.complete;
    const stop = body.consume(bytes, 0, bytes.length);
    if (body.problem !== undefined) return breakOff(exchange, body.problem);
    if (!wasComplete) {
      const now = this.context.clock.now();
      exchange.nowMs = now;
      if (body.complete) exchange.receivedMs = now;
      else if (this.#pace?.isTooSlow(body.received, exchange.settings.limits.bodyRate, now) === true)
        return breakOff(exchange, "E_BODY_TOO_SLOW");
      if (exchange.attempt === undefined) exchange.hold(bytes, 0, stop);
      else exchange.attempt.onRequestBody(bytes, 0, stop);
      this.#armDeadline();
    }
    if (stop < bytes.length && this.#exchange === exchange) this.#wait(bytes, stop, bytes.length);
    else if (stop < bytes.length) this.#read(bytes.subarray(stop));
  }

  /** Keeps what was sent ahead and reads no more of it: its turn comes after the answer. */
  #wait(bytes: Buffer, start: number, end: number): void {
    if (bytes !== this.#reader.bytes || start > 0) this.#reader.keep(bytes, start, end);
    this.#pauseReading();
  }

  // ---- Refusing

  /** The head is wrong or did not come: there is no route yet, only an answer and the end. */
  #refuseHead(head: Head, code: ErrorCode): void {
    const exchange = this.#newExchange(head);
    exchange.body.complete = false;
    exchange.nowMs = this.context.clock.now();
    this.keepAlive = false;
    refuse(exchange, code);
  }

  #refuseExchange(exchange: Exchange, code: ErrorCode, end: number): number {
    this.keepAlive = false;
    exchange.body.complete = false;
    refuse(exchange, code);
    return end;
  }

  #breakConnection(exchange: Exchange, code: ErrorCode): void {
    this.#exchange = undefined;
    abandon(exchange, code);
    this.abort();
  }

  // ---- Writing answers (ClientSide)

  protected override get current(): Exchange | undefined {
    return this.#exchange;
  }

  protected override beginTunnel(): void {
    this.#state = "tunnel";
  }

  protected override stalled(): void {
    this.deadlineMs = this.#writeDeadline();
  }

  sayGoodbye(): boolean {
    const forClient = this.webSocket?.goodbye(this.#exchange?.attempt, this.context.random);
    if (forClient === undefined) return false;
    this.sendBody(forClient, 0, forClient.length);
    return true;
  }

  answered(): void {
    const exchange = this.#exchange as Exchange;
    this.#exchange = undefined;
    this.endBody();
    if (!this.isOpen) return;
    if (this.#state === "tunnel") return this.#closeAfterSending();
    if (!this.keepAlive || this.#peerEnded || !exchange.body.complete) return this.#endConnection(exchange);
    this.#state = "reading";
    // Answers to requests sent ahead must not pile up here: the next one is read when this answer has been taken.
    if (this.congested) {
      this.deadlineMs = this.#writeDeadline();
      this.#pauseReading();
    } else this.#readOn(exchange.nowMs);
  }

  /** Between two requests: the next one may come, or has already. */
  #readOn(nowMs: number): void {
    const { idle } = this.#listener.settings.timeouts;
    this.deadlineMs = nowMs + (this.#draining ? Math.min(idle, DRAIN_IDLE_MS) : idle);
    this.#resumeReading();
    const kept = this.#looping ? undefined : this.#reader.take();
    if (kept !== undefined) this.#readFrom(kept, 0, kept.length);
  }

  override abort(): void {
    this.#exchange = undefined;
    super.abort();
  }

  pauseBody(): void {
    if (this.#state === "exchange" && this.#exchange?.body.complete) return;
    this.#pauseReading();
  }

  resumeBody(): void {
    // What the client sent behind its upgrade request belongs to the new protocol.
    const behind = this.#state === "tunnel" ? this.#reader.take() : undefined;
    if (behind !== undefined) this.#passOn(behind);
    if (this.#reader.bytes === undefined) this.#resumeReading();
  }

  #passOn(bytes: Buffer): void {
    this.webSocket?.fromClient(bytes, 0, bytes.length);
    this.#exchange?.attempt?.onRequestBody(bytes, 0, bytes.length);
  }

  /** Ends the connection so that the client gets the whole answer, even while it is still sending. */
  #endConnection(exchange: Exchange): void {
    const { head, body } = exchange;
    const expectsEnd = head.connectionClose || head.minorVersion === 0 || this.#peerEnded;
    if (expectsEnd && body.complete && !this.congested) return this.close();
    this.#closeAfterSending();
  }

  #closeAfterSending(): void {
    this.#state = "lingering";
    this.#reader.clear();
    this.deadlineMs = this.congested ? this.#writeDeadline() : this.context.clock.now() + LINGER_MS;
    this.finishSending();
    this.#resumeReading();
  }

  // ---- Time

  #pauseReading(): void {
    this.#pace?.pause(this.context.clock.now());
    this.pause();
  }

  #resumeReading(): void {
    if (!this.isPaused) return;
    this.#pace?.resume(this.context.clock.now());
    this.resume();
    this.#armDeadline();
  }

  #writeDeadline(): number {
    return this.context.clock.now() + this.#listener.settings.timeouts.write;
  }

  /** Which silence is the client's fault, and how long it may last. */
  #armDeadline(): void {
    const exchange = this.#exchange;
    if (this.congested) this.deadlineMs = this.#writeDeadline();
    else if (this.#state === "lingering") this.deadlineMs = this.context.clock.now() + LINGER_MS;
    else if (this.#state !== "exchange" || exchange === undefined) return;
    else if (!exchange.body.complete && !this.isPaused)
      this.deadlineMs = this.context.clock.now() + exchange.settings.timeouts.body;
    else if (this.#peerEnded && !exchange.answerBegun) this.deadlineMs = this.context.clock.now() + HALF_CLOSED_MS;
    // One that reads on while it has nothing to say is as good as any other; writing to one that is gone shows it.
    else this.deadlineMs = NEVER;
  }
}
