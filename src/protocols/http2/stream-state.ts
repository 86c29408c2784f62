/** The life of a stream (RFC 9113 section 5.1): in which state which frame may come, and what follows when another does. */
import { FRAME, H2_ERROR } from "./frames.ts";

/** States of a stream that exists. An idle one, and one that is forgotten, has no object: see stream-ids.ts. */
export const STREAM = { open: 0, halfClosedLocal: 1, halfClosedRemote: 2, closed: 3 } as const;
export type StreamState = (typeof STREAM)[keyof typeof STREAM];

/** How a stream came to be closed. */
export const CLOSED_BY = { endStream: 0, ourReset: 1, peerReset: 2 } as const;
export type ClosedBy = (typeof CLOSED_BY)[keyof typeof CLOSED_BY];

/**
 * What is to be done with a frame: VERDICT_FINE, VERDICT_IGNORE (field blocks still have to be decoded, and DATA counted
 * in the connection's window and given back), or an error: `verdictCode` and `isConnectionError` take it apart.
 */
export type Verdict = number;
export const VERDICT_FINE: Verdict = 0;
export const VERDICT_IGNORE: Verdict = 0x100;
const STREAM_ERROR = 0x200;
const CONNECTION_ERROR = 0x400;

export const STREAM_IS_CLOSED: Verdict = STREAM_ERROR | H2_ERROR.streamClosed;
export const CONNECTION_IS_WRONG: Verdict = CONNECTION_ERROR | H2_ERROR.protocolError;
export const CONNECTION_STREAM_CLOSED: Verdict = CONNECTION_ERROR | H2_ERROR.streamClosed;

/** The error code of a verdict that is an error. */
export function verdictCode(verdict: Verdict): number {
  return verdict & 0xff;
}

export function isStreamError(verdict: Verdict): boolean {
  return (verdict & STREAM_ERROR) !== 0;
}

export function isConnectionError(verdict: Verdict): boolean {
  return (verdict & CONNECTION_ERROR) !== 0;
}

/** What to do with a frame of `type` (DATA, HEADERS, PRIORITY, RST_STREAM or WINDOW_UPDATE) that came for a stream. */
export function onReceive(state: StreamState, type: number): Verdict {
  if (type === FRAME.priority) return VERDICT_FINE;
  if (state === STREAM.open || state === STREAM.halfClosedLocal) return VERDICT_FINE;
  if (type === FRAME.rstStream || type === FRAME.windowUpdate) {
    return state === STREAM.closed ? VERDICT_IGNORE : VERDICT_FINE;
  }
  return state === STREAM.closed ? CONNECTION_STREAM_CLOSED : STREAM_IS_CLOSED;
}

/** The state after END_STREAM was received. */
export function afterPeerEnded(state: StreamState): StreamState {
  return state === STREAM.open ? STREAM.halfClosedRemote : STREAM.closed;
}

/** The state after END_STREAM was sent. */
export function afterWeEnded(state: StreamState): StreamState {
  return state === STREAM.open ? STREAM.halfClosedLocal : STREAM.closed;
}

/** Whether DATA and HEADERS may still be sent. */
export function maySend(state: StreamState): boolean {
  return state === STREAM.open || state === STREAM.halfClosedRemote;
}

/** What to do with a frame for a stream that was closed in this way a short while ago. */
export function onReceiveClosed(closedBy: ClosedBy, type: number): Verdict {
  if (type === FRAME.priority) return VERDICT_FINE;
  // The peer may have sent it before it saw our frame that closed the stream.
  if (type === FRAME.rstStream || type === FRAME.windowUpdate || closedBy === CLOSED_BY.ourReset) return VERDICT_IGNORE;
  return closedBy === CLOSED_BY.peerReset ? STREAM_IS_CLOSED : CONNECTION_STREAM_CLOSED;
}
