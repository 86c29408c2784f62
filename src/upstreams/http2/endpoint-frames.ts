/** What the frames of an endpoint mean: answers for streams, windows that open, settings, and what breaks the rules. */
import type { ErrorCode } from "../../base/errors.ts";
import { inspectResponse, inspectTrailers, ResponseFields } from "../../protocols/http2/field-rules.ts";
import { ReceiveWindow } from "../../protocols/http2/flow-window.ts";
import type { FrameHandler } from "../../protocols/http2/frame-handler.ts";
import { DEFAULT_WINDOW, FRAME, H2_ERROR, SETTING } from "../../protocols/http2/frames.ts";
import { HeaderList } from "../../protocols/http2/header-list.ts";
import { DECODED, HpackDecoder } from "../../protocols/http2/hpack-decoder.ts";
import { CLOSED_BY, isConnectionError, verdictCode } from "../../protocols/http2/stream-state.ts";
import type { FrameOutput } from "./frame-output.ts";
import type { StreamTable } from "./stream-table.ts";
import type { UpstreamStream } from "./upstream-stream.ts";

/** Streams at a time, whatever more the endpoint allows. */
const MAX_STREAMS = 256;
const TABLE_BYTES = 4_096;
/** Given back at once: what one slow client leaves lying must not hold up the others. */
export const CONNECTION_WINDOW = 16 * 1_048_576;
const MAX_FIELDS = 256;
const COLON = 0x3a;

/** The connection that the frames come on. */
export interface FramesHome {
  readonly sendable: number;
  /** Whether a word of the endpoint may be answered: not when it asks and asks and does not read. */
  mayAnswer(): boolean;
  /** A SETTINGS frame was taken in whole. */
  settled(): void;
  /** The endpoint takes no more streams. */
  endpointLeaves(): void;
  /** A stream has come to its end. */
  afterStream(): void;
  giveBack(stream: UpstreamStream, bytes: number): void;
  /** Forgets the stream, after a reset when `code` is not NO_ERROR. */
  leave(stream: UpstreamStream, code: number): void;
  fail(code: number): void;
}

const list = new HeaderList();
const fields = new ResponseFields();

export class EndpointFrames implements FrameHandler {
  takesTunnels = false;
  initialSendWindow = DEFAULT_WINDOW;
  maxStreams = MAX_STREAMS;
  readonly #home: FramesHome;
  readonly #streams: StreamTable;
  readonly #output: FrameOutput;
  readonly #decoder: HpackDecoder;
  readonly #receiveWindow = new ReceiveWindow(CONNECTION_WINDOW);

  /** `maxHeadBytes`: the largest head that is accepted. */
  constructor(home: FramesHome, streams: StreamTable, output: FrameOutput, maxHeadBytes: number) {
    this.#home = home;
    this.#streams = streams;
    this.#output = output;
    this.#decoder = new HpackDecoder({ tableBytes: TABLE_BYTES, listBytes: maxHeadBytes, fields: MAX_FIELDS });
  }

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
    if (paddingBytes > 0) this.#home.giveBack(stream, paddingBytes);
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
    this.#streams.remove(streamId, CLOSED_BY.peerReset);
    if (code === H2_ERROR.refusedStream) stream.fail("E_UPSTREAM_REFUSED");
    else if (code === H2_ERROR.http11Required) stream.fail("E_ENDPOINT_PROTOCOL");
    else stream.onReset();
    this.#home.afterStream();
  }

  setting(id: number, value: number): void {
    if (id === SETTING.headerTableSize) this.#output.setTableLimit(value);
    else if (id === SETTING.maxFrameSize) this.#output.maxFrameBytes = value;
    else if (id === SETTING.maxConcurrentStreams) this.maxStreams = Math.min(MAX_STREAMS, value);
    else if (id === SETTING.enableConnectProtocol) this.takesTunnels = value === 1;
    else if (id === SETTING.initialWindowSize) {
      const before = this.initialSendWindow;
      this.initialSendWindow = value;
      for (const stream of this.#streams.all())
        if (!stream.sendWindow.adjust(before, value)) return this.connectionError(H2_ERROR.flowControlError);
    }
  }

  settingsEnd(): void {
    if (!this.#home.mayAnswer()) return;
    this.#output.settingsAck();
    this.#streams.pump(this.#home);
    this.#home.settled();
  }

  settingsAck(): void {}

  ping(bytes: Buffer, start: number): void {
    if (this.#home.mayAnswer()) this.#output.ping(bytes, start, true);
  }

  pingAck(): void {}

  /** Streams above `lastStreamId` were not looked at: they can go elsewhere (RFC 9113 section 6.8). */
  goaway(lastStreamId: number): void {
    this.#home.endpointLeaves();
    for (const stream of this.#streams.all()) {
      if (stream.streamId <= lastStreamId) continue;
      this.#streams.remove(stream.streamId, CLOSED_BY.peerReset);
      stream.fail("E_UPSTREAM_REFUSED");
    }
    this.#home.afterStream();
  }

  windowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (this.#output.window.add(increment)) this.#streams.pump(this.#home);
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
    this.#home.fail(code);
  }

  /** A frame for a stream that is not there. */
  #obey(streamId: number, type: number): void {
    const verdict = this.#streams.verdict(streamId, type);
    if (isConnectionError(verdict)) this.connectionError(verdictCode(verdict));
  }

  /** The endpoint broke a rule on one stream: its answer cannot be used. */
  #breakStream(stream: UpstreamStream, code: number, reason: ErrorCode = "E_BAD_RESPONSE"): void {
    this.#home.leave(stream, code);
    stream.fail(reason);
  }
}
