/**
 * Takes a connection's bytes apart into frames (RFC 9113 sections 4 and 6), however they are cut. DATA is passed through
 * without a copy; of all else only what came in pieces is kept until it is complete. What the frames mean for streams
 * and windows is the handler's to know.
 */

import {
  BAD_PADDING,
  BAD_PREFACE,
  BLOCK_TOO_LARGE,
  checkFrameHeader,
  FRAME_TOO_LARGE,
  type FrameProblem,
  isKnownFrame,
  NOT_SETTINGS,
  TOO_SHORT,
  tellControlFrame,
} from "./control-frames.ts";
import { copyBytes } from "./copy-bytes.ts";
import { FieldBlock } from "./field-block.ts";
import type { FrameHandler } from "./frame-handler.ts";
import { FLAG, FRAME, FRAME_HEADER_BYTES, H2_ERROR, PREFACE, readUint24, readUint31 } from "./frames.ts";
import type { FrameReaderOptions } from "./reader-options.ts";

const STATE_PREFACE = 0;
const STATE_HEADER = 1;
const STATE_PAYLOAD = 2;
const STATE_PAD_LENGTH = 3;
const STATE_DATA = 4;
const STATE_SKIP = 5;
const STATE_STOPPED = 6;

/** Buffers above this are not kept for the next frame that comes in pieces. */
const KEPT_BYTES = 1_024;
const PRIORITY_BYTES = 5;
const MAX_PADDING = 256;
const EMPTY = Buffer.alloc(0);

export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #options: FrameReaderOptions;
  #state: number;
  /** Bytes of the preface that were seen. */
  #prefaceSeen = 0;
  #settingsSeen = false;

  // The frame at hand.
  #length = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Bytes of its payload still to come; of DATA, without padding. */
  #remaining = 0;
  #padding = 0;

  /** A frame header, or payload, that came in pieces. */
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #payload: Buffer = EMPTY;
  #payloadBytes = 0;

  readonly #block: FieldBlock;

  constructor(handler: FrameHandler, options: FrameReaderOptions) {
    this.#handler = handler;
    this.#options = options;
    this.#block = new FieldBlock(options.maxBlockBytes, options.maxContinuations);
    this.#state = options.role === "server" ? STATE_PREFACE : STATE_HEADER;
  }

  /** After a connection error or `stop`. */
  get stopped(): boolean {
    return this.#state === STATE_STOPPED;
  }

  /** Whether the peer stopped in the middle of a frame or a field block, or before its first SETTINGS. */
  get midFrame(): boolean {
    return this.#headerBytes > 0 || this.#state !== STATE_HEADER || this.#block.streamId !== 0 || !this.#settingsSeen;
  }

  /** Reads nothing any more. May be called by the handler, which is then called no more. */
  stop(): void {
    this.#state = STATE_STOPPED;
    this.#payload = EMPTY;
    this.#block.take();
  }

  /** Reads the bytes from `start` to `end`, all of them unless it stops. */
  consume(bytes: Buffer, start: number, end: number): void {
    let position = start;
    for (;;) {
      switch (this.#state) {
        case STATE_HEADER:
          if (position >= end) return;
          position = this.#readHeader(bytes, position, end);
          break;
        case STATE_DATA:
          if (position >= end && this.#remaining > 0) return;
          position = this.#readData(bytes, position, end);
          break;
        case STATE_SKIP:
          if (position >= end && this.#remaining > 0) return;
          position = this.#skip(position, end);
          break;
        case STATE_PAYLOAD:
          if (position >= end && this.#length > 0) return;
          position = this.#readPayload(bytes, position, end);
          break;
        case STATE_PAD_LENGTH:
          if (position >= end) return;
          this.#readPadLength(bytes[position++] as number);
          break;
        case STATE_PREFACE:
          if (position >= end) return;
          position = this.#readPreface(bytes, position, end);
          break;
        default:
          return;
      }
    }
  }

  #fail(problem: FrameProblem): void {
    if (this.#state === STATE_STOPPED) return;
    this.stop();
    this.#handler.connectionError(problem.code, problem.reason);
  }

  #readPreface(bytes: Buffer, position: number, end: number): number {
    let cursor = position;
    while (cursor < end && this.#prefaceSeen < PREFACE.length) {
      if (bytes[cursor] !== PREFACE[this.#prefaceSeen]) {
        this.#fail(BAD_PREFACE);
        return end;
      }
      cursor++;
      this.#prefaceSeen++;
    }
    if (this.#prefaceSeen === PREFACE.length) this.#state = STATE_HEADER;
    return cursor;
  }

  #readHeader(bytes: Buffer, position: number, end: number): number {
    if (this.#headerBytes === 0 && end - position >= FRAME_HEADER_BYTES) {
      this.#begin(bytes, position);
      return position + FRAME_HEADER_BYTES;
    }
    const take = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, end - position);
    copyBytes(bytes, position, position + take, this.#header, this.#headerBytes);
    this.#headerBytes += take;
    if (this.#headerBytes === FRAME_HEADER_BYTES) {
      this.#headerBytes = 0;
      this.#begin(this.#header, 0);
    }
    return position + take;
  }

  /** A frame begins, whose header is at `at`. */
  #begin(bytes: Buffer, at: number): void {
    const length = readUint24(bytes, at);
    const type = bytes[at + 3] as number;
    const flags = bytes[at + 4] as number;
    const streamId = readUint31(bytes, at + 5);
    this.#length = length;
    this.#type = type;
    this.#flags = flags;
    this.#streamId = streamId;

    const problem = this.#checkBegin(type, flags, length, streamId);
    if (problem !== undefined) this.#fail(problem);
    else if (type === FRAME.data) this.#beginData();
    else if (isKnownFrame(type)) {
      this.#payloadBytes = 0;
      this.#state = STATE_PAYLOAD;
    } else {
      this.#remaining = length;
      this.#state = STATE_SKIP;
      this.#handler.unknownFrame(type, streamId);
    }
  }

  #checkBegin(type: number, flags: number, length: number, streamId: number): FrameProblem | undefined {
    const { maxFrameBytes, maxBlockBytes } = this.#options;
    if (!this.#settingsSeen) {
      if (type !== FRAME.settings || (flags & FLAG.ack) !== 0) return NOT_SETTINGS;
      this.#settingsSeen = true;
    }
    if (length > maxFrameBytes) return FRAME_TOO_LARGE;
    if (this.#block.streamId !== 0) return this.#block.check(type, length, streamId);
    if (type === FRAME.headers && length > maxBlockBytes + MAX_PADDING + PRIORITY_BYTES) return BLOCK_TOO_LARGE;
    return checkFrameHeader(type, flags, length, streamId);
  }

  #beginData(): void {
    const padded = (this.#flags & FLAG.padded) !== 0;
    if (padded && this.#length === 0) return this.#fail(TOO_SHORT);
    this.#remaining = this.#length;
    this.#padding = 0;
    this.#state = padded ? STATE_PAD_LENGTH : STATE_DATA;
    this.#handler.dataBegin(this.#streamId, this.#length);
  }

  #readPadLength(padding: number): void {
    if (padding >= this.#length) return this.#fail(BAD_PADDING);
    this.#padding = padding;
    this.#remaining = this.#length - 1 - padding;
    this.#state = STATE_DATA;
  }

  #readData(bytes: Buffer, position: number, end: number): number {
    const next = Math.min(position + this.#remaining, end);
    this.#remaining -= next - position;
    if (this.#remaining === 0) {
      this.#remaining = this.#padding;
      this.#state = STATE_SKIP;
    }
    if (next > position) this.#handler.data(this.#streamId, bytes, position, next);
    return next;
  }

  /** Goes over what is of no interest: padding of DATA, and frames of unknown types. */
  #skip(position: number, end: number): number {
    const next = Math.min(position + this.#remaining, end);
    this.#remaining -= next - position;
    if (this.#remaining > 0) return next;
    this.#state = STATE_HEADER;
    if (this.#type !== FRAME.data) return next;
    const padded = (this.#flags & FLAG.padded) !== 0;
    this.#handler.dataEnd(this.#streamId, (this.#flags & FLAG.endStream) !== 0, padded ? this.#padding + 1 : 0);
    return next;
  }

  #readPayload(bytes: Buffer, position: number, end: number): number {
    if (this.#payloadBytes === 0 && end - position >= this.#length) {
      this.#state = STATE_HEADER;
      this.#complete(bytes, position, position + this.#length);
      return position + this.#length;
    }
    if (this.#payload.length < this.#length) this.#payload = Buffer.allocUnsafeSlow(this.#length);
    const take = Math.min(this.#length - this.#payloadBytes, end - position);
    copyBytes(bytes, position, position + take, this.#payload, this.#payloadBytes);
    this.#payloadBytes += take;
    if (this.#payloadBytes < this.#length) return position + take;
    const payload = this.#payload;
    if (payload.length > KEPT_BYTES) this.#payload = EMPTY;
    this.#state = STATE_HEADER;
    this.#complete(payload, 0, this.#length);
    return position + take;
  }

  /** The payload of the frame at hand is at `start`..`end`. */
  #complete(bytes: Buffer, start: number, end: number): void {
    let problem: FrameProblem | undefined;
    if (this.#type === FRAME.headers) problem = this.#completeHeaders(bytes, start, end);
    else if (this.#type === FRAME.continuation) this.#completeContinuation(bytes, start, end);
    else {
      const server = this.#options.role === "client";
      problem = tellControlFrame(this.#handler, this.#type, this.#flags, this.#streamId, bytes, start, end, server);
    }
    if (problem !== undefined) this.#fail(problem);
  }

  #completeHeaders(bytes: Buffer, start: number, end: number): FrameProblem | undefined {
    let from = start;
    let padding = 0;
    let error = 0;
    if ((this.#flags & FLAG.padded) !== 0) {
      if (from === end) return TOO_SHORT;
      padding = bytes[from++] as number;
    }
    if ((this.#flags & FLAG.priority) !== 0) {
      if (end - from < PRIORITY_BYTES) return TOO_SHORT;
      if (readUint31(bytes, from) === this.#streamId) error = H2_ERROR.protocolError;
      from += PRIORITY_BYTES;
    }
    const to = end - padding;
    if (to < from) return BAD_PADDING;
    if (to - from > this.#options.maxBlockBytes) return BLOCK_TOO_LARGE;

    const endStream = (this.#flags & FLAG.endStream) !== 0;
    if ((this.#flags & FLAG.endHeaders) !== 0) {
      this.#handler.headers(this.#streamId, bytes, from, to, endStream, error);
      return undefined;
    }
    this.#block.open(this.#streamId, endStream, error);
    this.#block.add(bytes, from, to);
    return undefined;
  }

  #completeContinuation(bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    block.add(bytes, start, end);
    if ((this.#flags & FLAG.endHeaders) === 0) return;
    const whole = block.take();
    this.#handler.headers(this.#streamId, whole, 0, block.length, block.endStream, block.error);
  }
}
