/**
 * One exchange's way to an endpoint: a connection of HTTP/1.1 on loan, or a stream of HTTP/2. Either way what goes in and
 * comes out are the bytes of HTTP/1.1, so that exchanges need not know which it is.
 */
import type { ErrorCode } from "../base/errors.ts";

export interface UpstreamChannel {
  /** Whether an exchange has ended on its connection before: the endpoint may close it just as the next one begins. */
  readonly reused: boolean;
  /** The endpoint takes less than it is sent: stop until `onUpstreamDrain`. */
  readonly congested: boolean;
  /** On the clock's scale; when it passes, the borrower is told. */
  deadlineMs: number;
  send(bytes: Buffer, start: number, end: number, reused: boolean): void;
  pause(): void;
  resume(): void;
  /** Nothing more is sent (upgraded connections only). */
  finishSending(): void;
  /** Gives it back. `reusable`: the exchange is complete and nothing is left over. The borrower is told nothing any more. */
  release(reusable: boolean, nowMs: number): void;
}

/** Whoever has a channel on loan. All calls come from the event loop, never from within a call to the channel. */
export interface Borrower {
  /** The channel that was asked for is there. */
  onConnected(channel: UpstreamChannel): void;
  /** There is none, or it cannot be used any more. `code` says why, and whether the request may be sent again. */
  onConnectFailed(code: ErrorCode): void;
  onUpstreamData(bytes: Buffer): void;
  /** The endpoint has taken all that was sent. */
  onUpstreamDrain(): void;
  /** The channel is gone. `clean`: the endpoint said that it has finished sending. */
  onUpstreamClosed(clean: boolean): void;
  /** The endpoint is taken out of service and the time for what is under way is over: end it. */
  onEndpointLeft(): void;
  /** The deadline that the borrower has set has passed. */
  onUpstreamDeadline(nowMs: number): void;
}

/** Where channels to one endpoint come from. */
export interface ChannelSource {
  /** One that can be used now; undefined when there is none: then `dial`. */
  take(borrower: Borrower): UpstreamChannel | undefined;
  /** Begins a new one; `borrower` is told how it went, later. */
  dial(borrower: Borrower): UpstreamChannel;
}
