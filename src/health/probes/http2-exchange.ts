/** One request over HTTP/2, written as a whole, and its answer, read from all that has come so far. */
import { inspectResponse, inspectTrailers, ResponseFields } from "../../protocols/http2/field-rules.ts";
import type { FrameHandler } from "../../protocols/http2/frame-handler.ts";
import { FrameReader } from "../../protocols/http2/frame-reader.ts";
import * as frames from "../../protocols/http2/frame-writers.ts";
import { DEFAULT_WINDOW, h2ErrorName, SETTING } from "../../protocols/http2/frames.ts";
import { HeaderList } from "../../protocols/http2/header-list.ts";
import { DECODED, HpackDecoder } from "../../protocols/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../protocols/http2/hpack-encoder.ts";
import { DEFAULT_READER_LIMITS } from "../../protocols/http2/reader-options.ts";
import { ByteWriter } from "../../transport/byte-writer.ts";

/** More than is ever read, so that no window has to be opened. */
const WINDOW = 1_048_576;
const STREAM_ID = 1;
const TABLE_BYTES = 4_096;
const MAX_LIST_BYTES = 65_536;
const MAX_FIELDS = 256;
const MAX_FRAME_BYTES = 16_384;

/** Everything that is sent. `fields` with the pseudo-headers first. */
export function http2Request(fields: readonly (readonly [string, string])[], body: Buffer | undefined): Buffer {
  const writer = new ByteWriter(1_024);
  const encoder = new HpackEncoder(TABLE_BYTES);
  frames.writePreface(writer);
  frames.writeSettings(writer, [...[SETTING.enablePush, 0], ...[SETTING.initialWindowSize, WINDOW]]);
  frames.writeWindowUpdate(writer, 0, WINDOW - DEFAULT_WINDOW);
  // Answers the SETTINGS that will come.
  frames.writeSettingsAck(writer);
  const mark = frames.beginHeaders(writer);
  encoder.begin(writer);
  for (const [name, value] of fields) encoder.text(writer, name, value);
  frames.endHeaders(writer, mark, STREAM_ID, body === undefined, MAX_FRAME_BYTES);
  if (body !== undefined) frames.writeData(writer, STREAM_ID, body, 0, body.length, true);
  return writer.bytes.subarray(0, writer.length);
}

/** What is known of the answer. */
export class Http2Answer implements FrameHandler {
  /** Why there will be no answer: half a sentence. */
  problem: string | undefined;
  /** 0 until the final fields have come. */
  status = 0;
  /** Whether it is whole. */
  ended = false;
  /** By lower-case name; the last of several. Those of the trailers too. */
  readonly fields = new Map<string, string>();
  readonly #pieces: Buffer[] = [];
  readonly #decoder = new HpackDecoder({ tableBytes: TABLE_BYTES, listBytes: MAX_LIST_BYTES, fields: MAX_FIELDS });

  /** Reads all that has come since the connection was made. */
  constructor(received: Buffer) {
    if (received.subarray(0, 5).equals(Buffer.from("HTTP/"))) {
      this.problem = "the endpoint speaks HTTP/1.1, not HTTP/2";
      return;
    }
    new FrameReader(this, { ...DEFAULT_READER_LIMITS, role: "client" }).consume(received, 0, received.length);
  }

  get body(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  dataBegin(): void {}

  data(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === STREAM_ID) this.#pieces.push(bytes.subarray(start, end));
  }

  dataEnd(streamId: number, endStream: boolean): void {
    if (streamId === STREAM_ID && endStream) this.ended = true;
  }

  headers(streamId: number, block: Buffer, start: number, end: number, endStream: boolean): void {
    const list = new HeaderList();
    const isWhole = this.#decoder.decode(block, start, end, list) === DECODED;
    if (streamId !== STREAM_ID || this.ended) return;
    const response = new ResponseFields();
    const isGood = this.status === 0 ? inspectResponse(list, response) : inspectTrailers(list);
    if (!isWhole || isGood !== undefined) {
      this.problem ??= "the answer is not valid HTTP/2";
      return;
    }
    // Interim answers are passed over.
    if (this.status === 0 && response.status < 200) return;
    if (this.status === 0) this.status = response.status;
    for (let field = 0; field < list.count; field++) this.fields.set(list.name(field), list.value(field));
    this.ended = endStream;
  }

  rstStream(streamId: number, code: number): void {
    if (streamId === STREAM_ID && !this.ended) this.problem ??= `the endpoint reset the stream: ${h2ErrorName(code)}`;
  }

  goaway(lastStreamId: number, code: number): void {
    if (lastStreamId < STREAM_ID) this.problem ??= `the endpoint refused the connection: ${h2ErrorName(code)}`;
  }

  connectionError(): void {
    this.problem ??= "the answer is not HTTP/2";
  }

  priority(): void {}
  setting(): void {}
  settingsEnd(): void {}
  settingsAck(): void {}
  ping(): void {}
  pingAck(): void {}
  windowUpdate(): void {}
  unknownFrame(): void {}
  streamError(): void {}
}
