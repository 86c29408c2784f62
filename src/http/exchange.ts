/**
 * One request and its response, from the first byte to the access log. This is its state; what happens to it is told in
 * handle-exchange.ts. Whatever costs something (text of headers, ids) is made when it is first asked for.
 */

import type { ErrorCode } from "../base/errors.ts";
import type { FilterContext } from "../filters/definition.ts";
import type { AccessRecord } from "../observability/access-format.ts";
import type { Pool } from "../pools/pool.ts";
import type { GateTicket } from "../pools/pool-gate.ts";
import type { PoolSession } from "../pools/pool-session.ts";
import type { Head } from "../protocols/http1/head.ts";
import { type Admission, PASSED } from "../resilience/circuit-breaker.ts";
import type { ConcurrencyLimits } from "../resilience/concurrency-limits.ts";
import type { RetryBudget } from "../resilience/retry-budget.ts";
import { NEVER } from "../transport/deadlines.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { ClientSide } from "./client-side.ts";
import type { HttpContext } from "./context.ts";
import { grpcTimeoutMs } from "./grpc.ts";
import { ReceivedRequest } from "./received-request.ts";
import { RequestBody } from "./request-body.ts";
import { REQUEST_TIMEOUT, requestTimeoutMs } from "./request-timeout.ts";
import type { ListenerSnapshot, Route } from "./snapshot.ts";

/** Bytes of a request body that are kept after being sent, so that they can be sent again. */
const REPLAY_BYTES = 65_536;

/** How an attempt ended: undefined for a complete answer, `unwanted` for one instead of which a retry is booked. */
export type AttemptEnd = ErrorCode | "unwanted" | undefined;

/** What the client's side tells the attempt that is running. */
export interface RunningAttempt {
  /** A piece of the request's body has arrived. */
  onRequestBody(bytes: Buffer, start: number, end: number): void;
  /** The client has taken all that was sent to it. */
  onClientDrain(): void;
  /** The client has said that it will send no more (upgraded connections only). */
  onClientEnd(): void;
  /** The client is gone, or the answer is no longer wanted. */
  cancel(): void;
}

/** The session of the exchange, where its pool has sessions (session.ts). */
export interface FollowedSession extends PoolSession {
  /** The answer's head is about to go to the client. */
  answered(head: Head): void;
}

export class Exchange extends ReceivedRequest implements FilterContext, AccessRecord {
  readonly body: RequestBody;
  /** The time of the event that is being handled: asking the clock once per event is enough. */
  nowMs: number;

  matched: Route | undefined;
  poolInUse: Pool | undefined;
  /** Set when the pool has sessions. */
  sessionInUse: FollowedSession | undefined;
  /** Where it was sent, when `poolInUse` is a fallback. */
  poolAtFirst: Pool | undefined;
  key = 0;
  tried: Endpoint[] | undefined;
  attempt: RunningAttempt | undefined;
  attempts = 0;
  /** Of these, the ones in pools that it has been in before. */
  attemptsElsewhere = 0;
  /** How long to wait before the retry that is booked. */
  retryDelayMs = 0;
  /** The budget and the limits that a running retry counts in. */
  budgetHeld: RetryBudget | undefined;
  retryLimits: ConcurrencyLimits | undefined;
  /** How the circuit of the endpoint that was picked last let it pass. */
  admission: Admission = PASSED;
  /** What it holds of its pool. */
  ticket: GateTicket | undefined;
  /** Given back by the queue while it waits there. */
  stopWaiting: (() => void) | undefined;
  /** Body bytes so far, kept until they are sent and while they are few enough to be sent again; then undefined. */
  held: Buffer[] | undefined;
  #heldBytes = 0;

  /** What the filters changed: header lines to append, and the target to send instead. */
  appended = "";
  newTarget: string | undefined;
  newHost: string | undefined;
  responseAppended = "";
  upgrade = false;

  /** When the request, its body included, was complete. */
  receivedMs = -1;
  status = 0;
  /** The final answer has begun: nothing can be tried again, no error page can be sent. */
  answerBegun = false;
  finished = false;
  bytesOut = 0;
  /** Of these, what the head of the answer took, interim ones included. */
  headBytesOut = 0;
  connectMs = -1;
  firstByteMs = -1;
  totalMs = -1;
  failure: ErrorCode | undefined;
  lastEndpoint = "";
  #grpcTimeoutMs: number | undefined;
  #headerTimeoutMs: number | undefined;

  constructor(context: HttpContext, settings: ListenerSnapshot, client: ClientSide, head: Head, startedMs: number) {
    super(context, settings, client, head, startedMs);
    this.body = new RequestBody(head);
    this.nowMs = startedMs;
  }

  /** When the time that its route or its client allows for all of it is over. The route's runs once the request is complete. */
  get deadlineMs(): number {
    const limitMs = this.matched?.timeouts.request ?? 0;
    const ours = limitMs === 0 || this.receivedMs < 0 ? NEVER : this.receivedMs + limitMs;
    return Math.min(ours, this.startedMs + this.clientTimeoutMs);
  }

  /** What is left until then; also of a request that is still arriving, for which the route's time does not run yet. */
  get leftMs(): number {
    const limitMs = this.matched?.timeouts.request ?? 0;
    const ours = limitMs === 0 ? NEVER : (this.receivedMs < 0 ? this.nowMs : this.receivedMs) + limitMs;
    return Math.min(ours, this.startedMs + this.clientTimeoutMs) - this.nowMs;
  }

  /** Keeps a piece of the body to be sent, or sent again. */
  hold(bytes: Buffer, start: number, end: number): void {
    if (start === end) return;
    this.held ??= [];
    this.held.push(bytes.subarray(start, end));
    this.#heldBytes += end - start;
  }

  /** All that is held was sent. More than the bound is not kept for another attempt. */
  heldWasSent(): void {
    if (this.#heldBytes > REPLAY_BYTES) this.held = undefined;
  }

  /** Whether the newest piece of the body, `length` bytes of it, is to be kept: all that came before it has been. */
  keepsBody(length: number): boolean {
    return this.body.received - length === this.#heldBytes && (this.held !== undefined || this.#heldBytes === 0);
  }

  /** The request can be sent as a whole once more. */
  get canReplay(): boolean {
    return this.body.received === this.#heldBytes && (this.held !== undefined || this.#heldBytes === 0);
  }

  /** The request is there as a whole, and stays for as long as another attempt may be sent it. */
  get isKept(): boolean {
    return this.body.complete && this.canReplay && this.#heldBytes <= REPLAY_BYTES;
  }

  /** How long the client says it will wait, from the beginning of its request; Infinity when it does not say. */
  get clientTimeoutMs(): number {
    return Math.min(this.grpcTimeoutMs, this.headerTimeoutMs);
  }

  /** By `grpc-timeout`. Every gRPC call says TE: trailers, and hardly anything else does. */
  get grpcTimeoutMs(): number {
    if (!this.head.acceptsTrailers) return NEVER;
    if (this.#grpcTimeoutMs === undefined) {
      const field = this.head.find("grpc-timeout");
      this.#grpcTimeoutMs = (field < 0 ? undefined : grpcTimeoutMs(this.head.value(field))) ?? NEVER;
    }
    return this.#grpcTimeoutMs;
  }

  /** By `X-Request-Timeout`, where the route believes it. */
  get headerTimeoutMs(): number {
    if (this.matched?.timeouts.fromClient !== true) return NEVER;
    if (this.#headerTimeoutMs === undefined) {
      const field = this.head.find(REQUEST_TIMEOUT);
      this.#headerTimeoutMs = field < 0 ? NEVER : requestTimeoutMs(this.head.value(field));
    }
    return this.#headerTimeoutMs;
  }

  /** The header line that tells how many tries it took; "" unless its pool wants it. */
  get attemptsLine(): string {
    return this.poolInUse?.retry.header === true ? `X-Evenkeel-Attempts: ${this.attempts}\r\n` : "";
  }

  // What the access log shows (AccessRecord).

  get route(): string {
    return this.matched?.name ?? "";
  }

  get pool(): string {
    return this.poolInUse?.name ?? "";
  }

  get endpoint(): string {
    return this.lastEndpoint;
  }

  get protocol(): string {
    return this.client.protocol ?? (this.head.minorVersion === 0 ? "HTTP/1.0" : "HTTP/1.1");
  }

  get bytesIn(): number {
    return this.head.position - this.head.start + this.body.received;
  }

  get bodyBytesOut(): number {
    return this.bytesOut - this.headBytesOut;
  }

  get session(): string {
    return this.sessionInUse?.outcome ?? "";
  }

  get reason(): string {
    return this.failure ?? "";
  }
}
