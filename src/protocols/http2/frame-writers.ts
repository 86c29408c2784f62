/** Writes frames (RFC 9113 section 6) into a buffer. Nothing is checked here: callers know the windows and the limits. */
import type { ByteSink } from "./byte-sink.ts";
import { copyBytes } from "./copy-bytes.ts";
import { FLAG, FRAME, FRAME_HEADER_BYTES, type FrameType, PREFACE, writeUint32 } from "./frames.ts";

/** Writes the header of a frame whose payload of `length` bytes follows. */
export function writeFrameHeader(
  sink: ByteSink,
  length: number,
  type: FrameType,
  flags: number,
  streamId: number,
): void {
  sink.reserve(FRAME_HEADER_BYTES);
  putHeader(sink.bytes, sink.length, length, type, flags, streamId);
  sink.length += FRAME_HEADER_BYTES;
}

/** What a client sends first, before its SETTINGS. */
export function writePreface(sink: ByteSink): void {
  writePayload(sink, PREFACE, 0, PREFACE.length);
}

/** A whole DATA frame. `end - start` must not be above what the peer takes in one frame, nor above its windows. */
export function writeData(
  sink: ByteSink,
  streamId: number,
  bytes: Buffer,
  start: number,
  end: number,
  endStream: boolean,
): void {
  writeFrameHeader(sink, end - start, FRAME.data, endStream ? FLAG.endStream : 0, streamId);
  writePayload(sink, bytes, start, end);
}

/**
 * Leaves room for the header of a HEADERS frame. What is encoded into `sink` from here on becomes its block; to be ended
 * with `endHeaders`, which gets what this returns.
 */
export function beginHeaders(sink: ByteSink): number {
  const mark = sink.length;
  sink.reserve(FRAME_HEADER_BYTES);
  sink.length += FRAME_HEADER_BYTES;
  return mark;
}

/**
 * Turns what was encoded since `beginHeaders` into a HEADERS frame, and into CONTINUATION frames what is beyond
 * `maxFrameBytes`. Trailers are HEADERS as well.
 */
export function endHeaders(
  sink: ByteSink,
  mark: number,
  streamId: number,
  endStream: boolean,
  maxFrameBytes: number,
): void {
  const block = mark + FRAME_HEADER_BYTES;
  const total = sink.length - block;
  const streamFlag = endStream ? FLAG.endStream : 0;
  if (total <= maxFrameBytes) {
    putHeader(sink.bytes, mark, total, FRAME.headers, streamFlag | FLAG.endHeaders, streamId);
    return;
  }
  const more = Math.ceil(total / maxFrameBytes) - 1;
  sink.reserve(more * FRAME_HEADER_BYTES);
  const { bytes } = sink;
  // From the last piece to the first, so that each moves to where nothing is needed any more.
  for (let piece = more; piece > 0; piece--) {
    const from = block + piece * maxFrameBytes;
    const length = Math.min(maxFrameBytes, block + total - from);
    const to = from + piece * FRAME_HEADER_BYTES;
    bytes.copyWithin(to, from, from + length);
    const flags = piece === more ? FLAG.endHeaders : 0;
    putHeader(bytes, to - FRAME_HEADER_BYTES, length, FRAME.continuation, flags, streamId);
  }
  putHeader(bytes, mark, maxFrameBytes, FRAME.headers, streamFlag, streamId);
  sink.length += more * FRAME_HEADER_BYTES;
}

/** `settings`: pairs of a SETTING and its value, one after the other. */
export function writeSettings(sink: ByteSink, settings: readonly number[]): void {
  writeFrameHeader(sink, settings.length * 3, FRAME.settings, 0, 0);
  sink.reserve(settings.length * 3);
  for (let index = 0; index < settings.length; index += 2) {
    const id = settings[index] as number;
    sink.bytes[sink.length] = id >>> 8;
    sink.bytes[sink.length + 1] = id;
    writeUint32(sink.bytes, sink.length + 2, settings[index + 1] as number);
    sink.length += 6;
  }
}

export function writeSettingsAck(sink: ByteSink): void {
  writeFrameHeader(sink, 0, FRAME.settings, FLAG.ack, 0);
}

/** PING with the eight bytes at `start`; as the answer to one when `ack`. */
export function writePing(sink: ByteSink, bytes: Buffer, start: number, ack: boolean): void {
  writeFrameHeader(sink, 8, FRAME.ping, ack ? FLAG.ack : 0, 0);
  writePayload(sink, bytes, start, start + 8);
}

export function writeRstStream(sink: ByteSink, streamId: number, code: number): void {
  writeFrameHeader(sink, 4, FRAME.rstStream, 0, streamId);
  writeNumber(sink, code);
}

export function writeWindowUpdate(sink: ByteSink, streamId: number, increment: number): void {
  writeFrameHeader(sink, 4, FRAME.windowUpdate, 0, streamId);
  writeNumber(sink, increment);
}

/** `debug`: a word for the peer's log; its characters must all be below 0x100. */
export function writeGoaway(sink: ByteSink, lastStreamId: number, code: number, debug = ""): void {
  writeFrameHeader(sink, 8 + debug.length, FRAME.goaway, 0, 0);
  writeNumber(sink, lastStreamId);
  writeNumber(sink, code);
  sink.reserve(debug.length);
  sink.length += sink.bytes.write(debug, sink.length, "latin1");
}

function writePayload(sink: ByteSink, bytes: Buffer, start: number, end: number): void {
  sink.reserve(end - start);
  copyBytes(bytes, start, end, sink.bytes, sink.length);
  sink.length += end - start;
}

function writeNumber(sink: ByteSink, value: number): void {
  sink.reserve(4);
  writeUint32(sink.bytes, sink.length, value);
  sink.length += 4;
}

function putHeader(bytes: Buffer, at: number, length: number, type: number, flags: number, streamId: number): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  writeUint32(bytes, at + 5, streamId);
}
