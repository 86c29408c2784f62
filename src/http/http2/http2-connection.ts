/**
 * One HTTP/2 connection of a client (RFC 9113), from its first frame to its last: what is received (frame-receiver.ts)
 * and what is sent (frame-output.ts) meet here. Each stream's request lives its life as any other (client-stream.ts).
 */
import { ABUSE, type AbuseKind, AbuseLimits } from "../../protocols/http2/abuse-limits.ts";
import { DEFAULT_WINDOW, H2_ERROR, MAX_STREAM_ID, SETTING } from "../../protocols/http2/frames.ts";
import { CLOSED_BY, type ClosedBy, STREAM } from "../../protocols/http2/stream-state.ts";
import { Connection } from "../../transport/connection.ts";
import { NEVER } from "../../transport/deadlines.ts";
import type { Origin } from "../../transport/origin.ts";
import type { HttpContext } from "../context.ts";
import type { ListenerSnapshot } from "../snapshot.ts";
import { ClientStream } from "./client-stream.ts";
import { FrameOutput, type FrameSender } from "./frame-output.ts";
import { CONNECTION_WINDOW, FrameReceiver, type ReceivingConnection, TABLE_BYTES } from "./frame-receiver.ts";
import type { StreamConnection } from "./stream-connection.ts";
import { StreamTable } from "./stream-table.ts";

const MAX_STREAMS = 128;
/** What one request may send before it is passed on. */
const STREAM_WINDOW = 262_144;
const CONNECT_PROTOCOL = 1;
/** A GOAWAY leaves us in time for the client to read it, and for what it had sent before to arrive. */
const LINGER_MS = 1_000;

/** What a listener gives its connections; `settings` is replaced when a configuration is loaded. */
export interface Http2ListenerState {
  settings: ListenerSnapshot;
  connectionClosed(connection: Http2Connection): void;
}

/**
 * `leaving`: the client was told to begin nothing more, but what was on its way is served still. `last`: nothing more
 * is served than what has begun. `ended`: nothing is read any more.
 */
type Phase = "open" | "leaving" | "last" | "ended";

export class Http2Connection
  extends Connection
  implements StreamConnection<ClientStream>, ReceivingConnection, FrameSender
{
  readonly context: HttpContext;
  readonly origin: Origin;
  readonly streams: StreamTable<ClientStream>;
  readonly output: FrameOutput;
  readonly #listener: Http2ListenerState;
  readonly #receiver: FrameReceiver;
  readonly #abuse: AbuseLimits;
  #phase: Phase = "open";
  #leavingUntilMs = NEVER;
  #requests = 0;
  /** A frame that was begun with nothing else going on must be ended in time, however steadily it comes. */
  #midFrame = false;

  constructor(context: HttpContext, listener: Http2ListenerState, origin: Origin) {
    super();
    this.context = context;
    this.#listener = listener;
    this.origin = origin;
    const now = context.clock.now();
    this.streams = new StreamTable(context.sweep);
    this.output = new FrameOutput(this, TABLE_BYTES);
    this.#abuse = new AbuseLimits(now);
    this.#receiver = new FrameReceiver(this);
    this.#midFrame = true;
    this.deadlineMs = now + listener.settings.timeouts.header;
  }

  get settings(): ListenerSnapshot {
    return this.#listener.settings;
  }

  get clientPort(): number {
    return this.origin.told?.client.port ?? this.socket?.remotePort ?? 0;
  }

  /** Our SETTINGS; to be called once the socket is there. */
  begin(): void {
    const { output } = this;
    output.settings([
      ...[SETTING.maxConcurrentStreams, MAX_STREAMS],
      ...[SETTING.initialWindowSize, STREAM_WINDOW],
      ...[SETTING.maxHeaderListSize, this.settings.limits.bytes],
      ...[SETTING.enableConnectProtocol, CONNECT_PROTOCOL],
      ...[SETTING.noRfc7540Priorities, 1],
    ]);
    output.windowUpdate(0, CONNECTION_WINDOW - DEFAULT_WINDOW);
    output.flush();
  }

  /** The listener is stopping: what has begun may end, nothing more may begin (RFC 9113 section 6.8). */
  drain(): void {
    if (this.#phase !== "open") return;
    this.#phase = "leaving";
    // Requests may be on their way: the last number is told when they have had the time to arrive.
    this.output.goaway(MAX_STREAM_ID, H2_ERROR.noError, "");
    this.#leavingUntilMs = this.context.clock.now() + LINGER_MS;
    if (!this.congested) this.deadlineMs = Math.min(this.deadlineMs, this.#leavingUntilMs);
  }

  /** There is no time left: all that can still be said is why. */
  closeNow(): void {
    for (const stream of this.streams.all()) stream.closeNow();
    this.output.goaway(this.streams.ids.highest, H2_ERROR.noError, "");
    this.output.flush();
    this.close();
  }

  // ---- What the socket tells

  override onData(bytes: Buffer): void {
    const { reader } = this.#receiver;
    reader.consume(bytes, 0, bytes.length);
    if (reader.midFrame === this.#midFrame || this.#phase === "ended") return;
    this.#midFrame = reader.midFrame;
    if (this.streams.size === 0 && !this.congested) this.#armDeadline();
  }

  override onDrain(): void {
    this.resume();
    this.#armDeadline();
    this.streams.pump();
  }

  override onProgress(): void {
    this.#armDeadline();
  }

  override onPeerEnd(): void {
    this.close();
  }

  override onClose(): void {
    this.#phase = "ended";
    this.#receiver.reader.stop();
    this.context.sweep.remove(this);
    this.#closeStreams();
    this.#listener.connectionClosed(this);
  }

  override onDeadline(): void {
    if (this.congested) this.abort();
    else if (this.#phase === "ended") this.close();
    else if (this.#phase === "leaving" && this.streams.size > 0) {
      this.#phase = "last";
      this.output.goaway(this.streams.ids.highest, H2_ERROR.noError, "");
    } else this.end(H2_ERROR.noError, "");
  }

  // ---- What is received (ReceivingConnection)

  beginStream(streamId: number, endStream: boolean): ClientStream | undefined {
    if (this.#phase === "last" || this.streams.size >= MAX_STREAMS) {
      this.refuseStream(streamId, H2_ERROR.refusedStream);
      return undefined;
    }
    const stream = new ClientStream(this, streamId, STREAM_WINDOW, endStream);
    this.streams.add(stream);
    if (this.#phase === "open" && !this.congested) this.deadlineMs = NEVER;
    if (++this.#requests >= this.settings.maxRequestsPerConnection || this.context.draining) this.drain();
    return stream;
  }

  allows(kind: AbuseKind): boolean {
    if (this.#abuse.count(kind, this.context.clock.now()) === "calm") return true;
    this.end(H2_ERROR.enhanceYourCalm, "too many frames that ask for nothing");
    return false;
  }

  dataMoved(bytes: number): void {
    this.#abuse.dataMoved(bytes);
  }

  /** Doing that often is abuse: it makes us work and costs the client nothing. */
  failStream(stream: ClientStream, code: number, reason: string): void {
    this.context.log.debug("HTTP/2 stream reset", { client: this.origin.clientIp, reason });
    if (!this.allows(ABUSE.reset)) return;
    this.output.reset(stream.id, code);
    this.closeStream(stream, CLOSED_BY.ourReset);
  }

  refuseStream(streamId: number, code: number): void {
    if (!this.allows(ABUSE.reset)) return;
    this.streams.ids.close(streamId, CLOSED_BY.ourReset);
    this.output.reset(streamId, code);
  }

  closeStream(stream: ClientStream, closedBy: ClosedBy): void {
    this.#forget(stream, closedBy);
    stream.onReset();
    this.#afterStream();
  }

  clientLeaves(): void {
    if (this.#phase === "ended") return;
    this.#phase = "last";
    this.#afterStream();
  }

  /** Says goodbye and why, ends all streams, and closes once the client has had the time to read it. */
  end(code: number, reason: string): void {
    if (this.#phase === "ended") return;
    this.#phase = "ended";
    this.#receiver.reader.stop();
    this.output.goaway(this.streams.ids.highest, code, reason);
    this.output.flush();
    this.#closeStreams();
    this.resume();
    this.finishSending();
    this.deadlineMs = this.context.clock.now() + LINGER_MS;
  }

  // ---- Streams (StreamConnection)

  get mayReceive(): boolean {
    return this.#receiver.window.available > 0;
  }

  get initialSendWindow(): number {
    return this.streams.initialSendWindow;
  }

  waits(stream: ClientStream): void {
    this.streams.wait(stream);
  }

  giveBack(stream: ClientStream, bytes: number): void {
    const increment = stream.receiveWindow?.consume(bytes) ?? 0;
    if (increment > 0 && (stream.state === STREAM.open || stream.state === STREAM.halfClosedLocal))
      this.output.windowUpdate(stream.id, increment);
    this.giveBackToConnection(bytes);
  }

  giveBackToConnection(bytes: number): void {
    const increment = this.#receiver.window.consume(bytes);
    if (increment > 0) this.output.windowUpdate(0, increment);
  }

  reset(stream: ClientStream, code: number): void {
    if (this.streams.get(stream.id) !== stream) return;
    stream.state = STREAM.closed;
    this.#forget(stream, CLOSED_BY.ourReset);
    this.output.reset(stream.id, code);
    this.#afterStream();
  }

  streamDone(stream: ClientStream): void {
    if (this.streams.get(stream.id) !== stream) return;
    this.#abuse.requestDone();
    this.#forget(stream, CLOSED_BY.endStream);
    this.#afterStream();
  }

  // ---- Inside

  /**
   * While the client does not read, nothing is read from it either: whatever it asks for has an answer, if only a reset,
   * and answers must not pile up here. A client that waits for us to read before it reads is cut off in time.
   */
  sendFrames(bytes: Buffer, end: number): void {
    const wasCongested = this.congested;
    this.send(bytes, 0, end, true);
    if (wasCongested || !this.congested || this.#phase === "ended") return;
    this.pause();
    this.#armDeadline();
  }

  #forget(stream: ClientStream, closedBy: ClosedBy): void {
    if (!this.streams.remove(stream, closedBy)) return;
    const owed = stream.takeOwed();
    if (owed > 0) this.giveBackToConnection(owed);
  }

  #closeStreams(): void {
    for (const stream of this.streams.all()) {
      this.streams.remove(stream, CLOSED_BY.ourReset);
      stream.onReset();
    }
  }

  #afterStream(): void {
    if (this.streams.size > 0 || this.#phase === "ended") return;
    if (this.#phase === "last") this.end(H2_ERROR.noError, "");
    else if (!this.congested) this.#armDeadline();
  }

  #armDeadline(): void {
    const now = this.context.clock.now();
    const { header, idle, write } = this.settings.timeouts;
    if (this.congested) this.deadlineMs = now + write;
    else if (this.#phase === "ended") this.deadlineMs = now + LINGER_MS;
    else if (this.#phase === "leaving") this.deadlineMs = this.#leavingUntilMs;
    else if (this.streams.size > 0) this.deadlineMs = NEVER;
    else this.deadlineMs = now + (this.#midFrame ? header : idle);
  }
}
