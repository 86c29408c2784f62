/** What a client's frames mean: for the connection, for its streams, and for our patience with it. */
import { ABUSE, type AbuseKind } from "../../protocols/http2/abuse-limits.ts";
import { inspectRequest, inspectTrailers, RequestFields } from "../../protocols/http2/field-rules.ts";
import { ReceiveWindow } from "../../protocols/http2/flow-window.ts";
import type { FrameHandler } from "../../protocols/http2/frame-handler.ts";
import { FrameReader } from "../../protocols/http2/frame-reader.ts";
import { FRAME, H2_ERROR, SETTING } from "../../protocols/http2/frames.ts";
import { HeaderList } from "../../protocols/http2/header-list.ts";
import { COMPRESSION_FAILED, DECODED, type DecodeResult, HpackDecoder } from "../../protocols/http2/hpack-decoder.ts";
import { DEFAULT_READER_LIMITS } from "../../protocols/http2/reader-options.ts";
import {
  CLOSED_BY,
  type ClosedBy,
  isConnectionError,
  isStreamError,
  onReceive,
  VERDICT_FINE,
  verdictCode,
} from "../../protocols/http2/stream-state.ts";
import type { HttpContext } from "../context.ts";
import type { ListenerSnapshot } from "../snapshot.ts";
import type { ClientStream } from "./client-stream.ts";
import type { FrameOutput } from "./frame-output.ts";
import { NO_HEAD, requestHead } from "./request-head.ts";
import type { StreamTable } from "./stream-table.ts";

/** What the frames change: the connection. */
export interface ReceivingConnection {
  readonly context: HttpContext;
  readonly settings: ListenerSnapshot;
  readonly streams: StreamTable<ClientStream>;
  readonly output: FrameOutput;
  /** Counts what asks for nothing. False when there was too much of it: then the connection has ended. */
  allows(kind: AbuseKind): boolean;
  /** Bytes of DATA have come. */
  dataMoved(bytes: number): void;
  /** `bytes` that came for a stream are passed on: it may send as many more. */
  giveBack(stream: ClientStream, bytes: number): void;
  giveBackToConnection(bytes: number): void;
  /** A stream with the next number begins; undefined when it was refused. */
  beginStream(streamId: number, endStream: boolean): ClientStream | undefined;
  refuseStream(streamId: number, code: number): void;
  /** The client broke a rule that concerns one stream only. */
  failStream(stream: ClientStream, code: number, reason: string): void;
  /** The client has reset the stream. */
  closeStream(stream: ClientStream, closedBy: ClosedBy): void;
  /** The client begins nothing more. */
  clientLeaves(): void;
  /** The connection ends with GOAWAY. */
  end(code: number, reason: string): void;
}

/** What a client may have sent that is not passed on yet, over all streams: memory that it can fill. */
export const CONNECTION_WINDOW = 1_048_576;
export const TABLE_BYTES = 4_096;
/** Pseudo-headers are not counted among a request's headers. */
const PSEUDO_HEADERS = 8;

// Used while one event is handled, by one connection at a time.
const list = new HeaderList();
const fields = new RequestFields();

export class FrameReceiver implements FrameHandler {
  readonly reader: FrameReader;
  readonly window = new ReceiveWindow(CONNECTION_WINDOW);
  readonly #connection: ReceivingConnection;
  readonly #decoder: HpackDecoder;
  /** Of the DATA frame at hand: with its padding. */
  #flowBytes = 0;

  constructor(connection: ReceivingConnection) {
    const { limits } = connection.settings;
    this.#connection = connection;
    this.reader = new FrameReader(this, { ...DEFAULT_READER_LIMITS, maxBlockBytes: limits.bytes, role: "server" });
    this.#decoder = new HpackDecoder({
      tableBytes: TABLE_BYTES,
      listBytes: limits.bytes,
      fields: limits.fields + PSEUDO_HEADERS,
    });
  }

  // ---- DATA

  dataBegin(streamId: number, flowBytes: number): void {
    this.#flowBytes = flowBytes;
    if (!this.window.receive(flowBytes))
      return this.connectionError(H2_ERROR.flowControlError, "more DATA than the connection's window allows");
    const { streams } = this.#connection;
    const stream = streams.get(streamId);
    if (stream === undefined) return this.#frameForNoStream(streamId, FRAME.data);
    const verdict = onReceive(stream.state, FRAME.data);
    if (verdict !== VERDICT_FINE) this.#obey(verdict, stream, "DATA after the end");
    else if (stream.receiveWindow?.receive(flowBytes) === false)
      this.#connection.failStream(stream, H2_ERROR.flowControlError, "more DATA than the stream's window allows");
  }

  data(streamId: number, bytes: Buffer, start: number, end: number): void {
    const stream = this.#connection.streams.get(streamId);
    if (stream === undefined) return this.#connection.giveBackToConnection(end - start);
    this.#connection.dataMoved(end - start);
    const problem = stream.onData(bytes, start, end);
    if (problem !== undefined) this.#connection.failStream(stream, H2_ERROR.protocolError, problem);
  }

  dataEnd(streamId: number, endStream: boolean, paddingBytes: number): void {
    const stream = this.#connection.streams.get(streamId);
    if (paddingBytes > 0) {
      if (stream === undefined) this.#connection.giveBackToConnection(paddingBytes);
      else this.#connection.giveBack(stream, paddingBytes);
    }
    if (this.#flowBytes === paddingBytes && !endStream && !this.#connection.allows(ABUSE.empty)) return;
    if (stream !== undefined && endStream) this.#requestEnded(stream, "");
  }

  // ---- HEADERS

  headers(streamId: number, block: Buffer, start: number, end: number, endStream: boolean, error: number): void {
    const result = this.#decoder.decode(block, start, end, list);
    if (result === COMPRESSION_FAILED)
      return this.connectionError(H2_ERROR.compressionError, this.#decoder.problem ?? "");
    const { streams } = this.#connection;
    const stream = streams.get(streamId);
    if (stream !== undefined) return this.#trailers(stream, result, endStream);
    const verdict = streams.ids.onReceive(streamId, FRAME.headers);
    if (verdict !== VERDICT_FINE) return this.#obeyWithoutStream(verdict, streamId, "HEADERS for a closed stream");
    if (error !== 0) this.#connection.refuseStream(streamId, error);
    else this.#request(streamId, result, endStream);
  }

  #request(streamId: number, result: DecodeResult, endStream: boolean): void {
    const connection = this.#connection;
    const stream = connection.beginStream(streamId, endStream);
    if (stream === undefined) return;
    const now = connection.context.clock.now();
    if (result !== DECODED) return stream.begin(NO_HEAD, false, now, "E_HEAD_TOO_LARGE");
    const problem = inspectRequest(list, fields, true);
    if (problem !== undefined) return connection.failStream(stream, H2_ERROR.protocolError, problem);
    if (endStream && fields.contentLength > 0)
      return connection.failStream(stream, H2_ERROR.protocolError, "less DATA than content-length says");
    stream.begin(requestHead(list, fields, !endStream), fields.protocol >= 0, now);
  }

  #trailers(stream: ClientStream, result: DecodeResult, endStream: boolean): void {
    const connection = this.#connection;
    const verdict = onReceive(stream.state, FRAME.headers);
    if (verdict !== VERDICT_FINE) return this.#obey(verdict, stream, "HEADERS after the end");
    const problem = endStream ? inspectTrailers(list) : "HEADERS in the middle of a request";
    if (problem !== undefined) return connection.failStream(stream, H2_ERROR.protocolError, problem);
    if (result !== DECODED) return connection.failStream(stream, H2_ERROR.enhanceYourCalm, "trailers too large");
    this.#requestEnded(stream, list.bytes.toString("latin1", 0, list.length));
  }

  #requestEnded(stream: ClientStream, trailers: string): void {
    const problem = stream.onEnd(trailers);
    if (problem !== undefined) this.#connection.failStream(stream, H2_ERROR.protocolError, problem);
  }

  // ---- The rest

  priority(): void {
    this.#connection.allows(ABUSE.priority);
  }

  rstStream(streamId: number): void {
    if (!this.#connection.allows(ABUSE.reset)) return;
    const stream = this.#connection.streams.get(streamId);
    if (stream === undefined) this.#frameForNoStream(streamId, FRAME.rstStream);
    else this.#connection.closeStream(stream, CLOSED_BY.peerReset);
  }

  setting(id: number, value: number): void {
    const { output, streams } = this.#connection;
    if (id === SETTING.headerTableSize) output.encoder.setPeerTableLimit(value);
    else if (id === SETTING.maxFrameSize) output.maxFrameBytes = value;
    else if (id === SETTING.initialWindowSize && !streams.setInitialSendWindow(value))
      this.connectionError(H2_ERROR.flowControlError, "a window is too large");
  }

  settingsEnd(): void {
    if (!this.#connection.allows(ABUSE.settings)) return;
    this.#connection.output.settingsAck();
    this.#connection.streams.pump();
  }

  settingsAck(): void {
    this.#connection.allows(ABUSE.settings);
  }

  ping(bytes: Buffer, start: number): void {
    if (this.#connection.allows(ABUSE.ping)) this.#connection.output.pingAck(bytes, start);
  }

  pingAck(): void {
    this.#connection.allows(ABUSE.ping);
  }

  goaway(): void {
    this.#connection.clientLeaves();
  }

  windowUpdate(streamId: number, increment: number): void {
    const connection = this.#connection;
    if (!connection.allows(ABUSE.windowUpdate)) return;
    if (streamId === 0) {
      if (connection.output.window.add(increment)) connection.streams.pump();
      else this.connectionError(H2_ERROR.flowControlError, "the connection's window is too large");
      return;
    }
    const stream = connection.streams.get(streamId);
    if (stream === undefined) return this.#frameForNoStream(streamId, FRAME.windowUpdate);
    if (stream.sendWindow.add(increment)) stream.pump();
    else connection.failStream(stream, H2_ERROR.flowControlError, "the stream's window is too large");
  }

  unknownFrame(): void {
    this.#connection.allows(ABUSE.ignored);
  }

  streamError(streamId: number, code: number, reason: string): void {
    const connection = this.#connection;
    const stream = connection.streams.get(streamId);
    if (stream !== undefined) connection.failStream(stream, code, reason);
    // A stream that has not begun cannot be reset (RFC 9113 section 6.4).
    else if (streamId > connection.streams.ids.highest) this.connectionError(code, reason);
    else if (connection.allows(ABUSE.ignored)) connection.output.reset(streamId, code);
  }

  connectionError(code: number, reason: string): void {
    this.#connection.end(code, reason);
  }

  #frameForNoStream(streamId: number, type: number): void {
    const verdict = this.#connection.streams.ids.onReceive(streamId, type);
    this.#obeyWithoutStream(verdict, streamId, "a frame for a stream that is not open");
  }

  #obey(verdict: number, stream: ClientStream, reason: string): void {
    if (isConnectionError(verdict)) this.connectionError(verdictCode(verdict), reason);
    else if (isStreamError(verdict)) this.#connection.failStream(stream, verdictCode(verdict), reason);
  }

  #obeyWithoutStream(verdict: number, streamId: number, reason: string): void {
    if (isConnectionError(verdict)) this.connectionError(verdictCode(verdict), reason);
    else if (!this.#connection.allows(ABUSE.ignored)) return;
    else if (isStreamError(verdict)) this.#connection.output.reset(streamId, verdictCode(verdict));
  }
}
