/**
 * The client's side of an exchange, as the life of an exchange sees it: one connection for HTTP/1.1. It knows how to put
 * an answer on the wire; it does not know where the answer comes from.
 */
import type { Head } from "../protocols/http1/head.ts";
import type { ResponseFraming } from "../protocols/http1/inspect-response.ts";
import type { Origin, Place } from "../transport/origin.ts";

/** A response head on its way to the client: the endpoint's, with what is changed about it. */
export interface ResponseHead {
  readonly head: Head;
  readonly framing: ResponseFraming;
  /** Header lines to append, each with its line break. */
  readonly appended: string;
}

export interface ClientSide {
  /** Where the connection comes from. */
  readonly ip: string;
  readonly port: number;
  readonly origin: Origin;
  /** What the client speaks, where its head does not tell: as in the access log, `HTTP/2.0`. */
  readonly protocol: string | undefined;
  /** Both ends of the connection, as the system knows them. */
  ends(): { client: Place; local: Place };
  /** It takes less than it is sent: stop until `Exchange.onClientDrain`. */
  readonly congested: boolean;
  /**
   * Sends the head and the first bytes of the body in one write. True when the client wants the body's bytes as the
   * endpoint framed them, false when it wants the data only (`sendBody` frames it anew).
   */
  sendHead(response: ResponseHead, body: Buffer, start: number, end: number): void;
  /** Whether a body of this framing goes to the client with its chunks as they came. */
  takesChunks(framing: ResponseFraming): boolean;
  sendBody(bytes: Buffer, start: number, end: number): void;
  /** An informational (1xx) answer, not the last one. */
  sendInterim(head: Head): void;
  /** A whole answer that evenkeel makes itself. */
  sendOwn(status: number, headers: string, body: string): void;
  /** Trailer lines behind the body, each with its line break; only for bodies that were not taken in chunks. */
  sendTrailers(lines: string): void;
  /** A tunnel is about to end: both sides of a WebSocket are told so, where that is possible. False: not the client. */
  sayGoodbye(): boolean;
  /** The answer is complete. */
  answered(): void;
  /** Something went wrong in the middle of the answer: the client must not take what it has for the whole. */
  abort(): void;
  pauseBody(): void;
  resumeBody(): void;
}
