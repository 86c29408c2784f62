/** What a frame's header must say (RFC 9113 section 6), and the meaning of frames that come in one piece. */
import type { FrameHandler } from "./frame-handler.ts";
import {
  FLAG,
  FRAME,
  H2_ERROR,
  type H2Error,
  LARGEST_MAX_FRAME_BYTES,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  readUint16,
  readUint31,
  readUint32,
  SETTING,
} from "./frames.ts";

/** Why a connection must end. */
export interface FrameProblem {
  readonly code: H2Error;
  readonly reason: string;
}

const problem = (code: H2Error, reason: string): FrameProblem => ({ code, reason });

export const FRAME_TOO_LARGE = problem(H2_ERROR.frameSizeError, "a frame is larger than SETTINGS_MAX_FRAME_SIZE");
export const NOT_SETTINGS = problem(H2_ERROR.protocolError, "the first frame is not SETTINGS");
export const BAD_PREFACE = problem(H2_ERROR.protocolError, "the connection preface is wrong");
export const INTERLEAVED = problem(H2_ERROR.protocolError, "a field block is interrupted by another frame");
export const BAD_PADDING = problem(H2_ERROR.protocolError, "the padding is longer than the frame");
export const TOO_SHORT = problem(H2_ERROR.frameSizeError, "the frame is too short for its fields");
export const BLOCK_TOO_LARGE = problem(H2_ERROR.enhanceYourCalm, "a field block is too large");
export const TOO_MANY_CONTINUATIONS = problem(
  H2_ERROR.enhanceYourCalm,
  "a field block has too many CONTINUATION frames",
);
const WRONG_STREAM = problem(H2_ERROR.protocolError, "the frame's type and stream do not fit");
const WRONG_LENGTH = problem(H2_ERROR.frameSizeError, "the frame's length is not that of its type");
const PUSH_REFUSED = problem(H2_ERROR.protocolError, "PUSH_PROMISE is not allowed");
const LONE_CONTINUATION = problem(H2_ERROR.protocolError, "CONTINUATION without HEADERS");
const BAD_SETTING = problem(H2_ERROR.protocolError, "a setting has a value that is not allowed");
const BAD_WINDOW_SETTING = problem(H2_ERROR.flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is too large");
const ZERO_INCREMENT = problem(H2_ERROR.protocolError, "WINDOW_UPDATE with an increment of 0");

/** Holds type, flags, length and stream of a frame against each other. CONTINUATION here is one that nothing began. */
export function checkFrameHeader(
  type: number,
  flags: number,
  length: number,
  streamId: number,
): FrameProblem | undefined {
  switch (type) {
    case FRAME.data:
      return streamId === 0 ? WRONG_STREAM : undefined;
    case FRAME.headers:
      // Streams with even numbers begin with PUSH_PROMISE, so there are none.
      return (streamId & 1) === 0 ? WRONG_STREAM : undefined;
    case FRAME.priority:
      return streamId === 0 ? WRONG_STREAM : undefined;
    case FRAME.rstStream:
      if (streamId === 0) return WRONG_STREAM;
      return length === 4 ? undefined : WRONG_LENGTH;
    case FRAME.settings:
      if (streamId !== 0) return WRONG_STREAM;
      return ((flags & FLAG.ack) !== 0 ? length === 0 : length % 6 === 0) ? undefined : WRONG_LENGTH;
    case FRAME.pushPromise:
      return PUSH_REFUSED;
    case FRAME.ping:
      if (streamId !== 0) return WRONG_STREAM;
      return length === 8 ? undefined : WRONG_LENGTH;
    case FRAME.goaway:
      if (streamId !== 0) return WRONG_STREAM;
      return length >= 8 ? undefined : WRONG_LENGTH;
    case FRAME.windowUpdate:
      return length === 4 ? undefined : WRONG_LENGTH;
    case FRAME.continuation:
      return LONE_CONTINUATION;
    default:
      return undefined;
  }
}

/** Whether frames of this type are kept until they are complete; others are not looked at. */
export function isKnownFrame(type: number): boolean {
  return type <= FRAME.continuation;
}

/**
 * Tells the handler a complete frame that is neither DATA nor part of a field block. The connection's error, or undefined.
 * `fromServer` when a server sent it.
 */
export function tellControlFrame(
  handler: FrameHandler,
  type: number,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  end: number,
  fromServer: boolean,
): FrameProblem | undefined {
  switch (type) {
    case FRAME.priority:
      tellPriority(handler, streamId, bytes, start, end);
      return undefined;
    case FRAME.rstStream:
      handler.rstStream(streamId, readUint32(bytes, start));
      return undefined;
    case FRAME.settings:
      return tellSettings(handler, flags, bytes, start, end, fromServer);
    case FRAME.ping:
      if ((flags & FLAG.ack) !== 0) handler.pingAck(bytes, start);
      else handler.ping(bytes, start);
      return undefined;
    case FRAME.goaway:
      handler.goaway(readUint31(bytes, start), readUint32(bytes, start + 4), bytes, start + 8, end);
      return undefined;
    default:
      return tellWindowUpdate(handler, streamId, readUint31(bytes, start));
  }
}

function tellPriority(handler: FrameHandler, streamId: number, bytes: Buffer, start: number, end: number): void {
  if (end - start !== 5) handler.streamError(streamId, H2_ERROR.frameSizeError, WRONG_LENGTH.reason);
  else if (readUint31(bytes, start) === streamId)
    handler.streamError(streamId, H2_ERROR.protocolError, "the stream depends on itself");
  else handler.priority(streamId);
}

function tellWindowUpdate(handler: FrameHandler, streamId: number, increment: number): FrameProblem | undefined {
  if (increment > 0) handler.windowUpdate(streamId, increment);
  else if (streamId === 0) return ZERO_INCREMENT;
  else handler.streamError(streamId, H2_ERROR.protocolError, ZERO_INCREMENT.reason);
  return undefined;
}

function tellSettings(
  handler: FrameHandler,
  flags: number,
  bytes: Buffer,
  start: number,
  end: number,
  fromServer: boolean,
): FrameProblem | undefined {
  if ((flags & FLAG.ack) !== 0) {
    handler.settingsAck();
    return undefined;
  }
  // All of them are checked before the first is told: a frame counts as a whole or not at all.
  for (let at = start; at < end; at += 6) {
    const wrong = checkSetting(readUint16(bytes, at), readUint32(bytes, at + 2), fromServer);
    if (wrong !== undefined) return wrong;
  }
  for (let at = start; at < end; at += 6) handler.setting(readUint16(bytes, at), readUint32(bytes, at + 2));
  handler.settingsEnd();
  return undefined;
}

/** RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1. */
function checkSetting(id: number, value: number, fromServer: boolean): FrameProblem | undefined {
  switch (id) {
    case SETTING.enablePush:
      return value > (fromServer ? 0 : 1) ? BAD_SETTING : undefined;
    case SETTING.initialWindowSize:
      return value > MAX_WINDOW ? BAD_WINDOW_SETTING : undefined;
    case SETTING.maxFrameSize:
      return value < MIN_MAX_FRAME_BYTES || value > LARGEST_MAX_FRAME_BYTES ? BAD_SETTING : undefined;
    case SETTING.enableConnectProtocol:
    case SETTING.noRfc7540Priorities:
      return value > 1 ? BAD_SETTING : undefined;
    default:
      return undefined;
  }
}
