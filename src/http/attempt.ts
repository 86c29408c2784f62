/** One try of an exchange on one endpoint: get a connection, send the request, relay the answer, give all back. */
import type { ErrorCode } from "../base/errors.ts";
import { ENDPOINT } from "../observability/metrics-table.ts";
import type { EndpointGuard } from "../pools/endpoint-guard.ts";
import type { Pool, PoolView } from "../pools/pool.ts";
import type { Head } from "../protocols/http1/head.ts";
import type { Admission } from "../resilience/circuit-breaker.ts";
import { NEVER } from "../transport/deadlines.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { proxyHeader } from "../upstreams/proxy-header.ts";
import type { Borrower, UpstreamChannel } from "../upstreams/upstream-channel.ts";
import { attemptOutcome } from "./attempt-outcome.ts";
import type { AttemptEnd, Exchange, RunningAttempt } from "./exchange.ts";
import { writeRequestHead } from "./forward-request.ts";
import { type AnswerJudge, ResponseRelay } from "./response-relay.ts";
import { judgeAnswer } from "./retries.ts";
import type { Route } from "./snapshot.ts";

/** Requests with bodies up to this size leave in one write with their head. */
const COALESCE_BYTES = 65_536;

/** Told how an attempt ended. */
export type AttemptEnded = (exchange: Exchange, attempt: Attempt, end: AttemptEnd) => void;

/** Watches attempts that another may run beside (hedge.ts). */
export interface AttemptWatch {
  /** The first byte of an answer has arrived. */
  begins(attempt: Attempt): void;
  /** Whether another answer is got instead of the one that has this head. */
  isUnwanted(attempt: Attempt, head: Head): boolean;
  /** The attempt has ended. True when the other goes on in its place. */
  goesOnWithout(attempt: Attempt): boolean;
}

export class Attempt implements Borrower, RunningAttempt, AnswerJudge {
  readonly endpoint: Endpoint;
  /** Undefined when no other attempt is made beside it. */
  readonly watch: AttemptWatch | undefined;
  /** What it took, as it is told in the log; -1 while it is not known. */
  connectMs = -1;
  firstByteMs = -1;
  readonly #exchange: Exchange;
  readonly #view: PoolView;
  readonly #guard: EndpointGuard | undefined;
  readonly #admission: Admission;
  readonly #perTryMs: number;
  readonly #route: Route;
  readonly #ended: AttemptEnded;
  readonly #relay: ResponseRelay;
  #connection: UpstreamChannel | undefined;
  #connected = false;
  #tunnel = false;
  #startedMs = 0;
  #sentMs = 0;

  constructor(
    exchange: Exchange,
    route: Route,
    pool: Pool,
    endpoint: Endpoint,
    ended: AttemptEnded,
    watch: AttemptWatch | undefined,
  ) {
    this.#exchange = exchange;
    this.#route = route;
    this.#view = pool.view;
    this.#guard = pool.view.guards?.get(endpoint);
    this.#admission = exchange.admission;
    this.#perTryMs = pool.retry.perTryMs;
    this.endpoint = endpoint;
    this.#ended = ended;
    this.watch = watch;
    const judge = pool.retry.policy.judgesAnswers || watch !== undefined ? this : undefined;
    this.#relay = new ResponseRelay(exchange, endpoint.connections.maxResponseHead, judge);
  }

  /** `fresh`: do not trust a kept-alive connection, one has just failed. */
  start(fresh: boolean): void {
    const { context } = this.#exchange;
    this.#startedMs = this.#exchange.nowMs;
    this.#exchange.firstByteMs = -1;
    context.metrics.add(this.endpoint.cells + ENDPOINT.attempts, 1);
    const { channels } = this.endpoint;
    const idle = fresh ? undefined : channels.take(this);
    if (idle === undefined) {
      this.#exchange.client.pauseBody();
      const connection = channels.dial(this);
      connection.deadlineMs = Math.min(connection.deadlineMs, this.#exchange.deadlineMs, this.#tryDeadlineMs);
      this.#connection = connection;
      return;
    }
    this.#connection = idle;
    this.#send(idle);
  }

  onConnected(connection: UpstreamChannel): void {
    const exchange = this.#exchange;
    exchange.nowMs = exchange.context.clock.now();
    this.connectMs = exchange.nowMs - this.#startedMs;
    exchange.connectMs = this.connectMs;
    this.#send(connection);
  }

  onConnectFailed(code: ErrorCode): void {
    const exchange = this.#exchange;
    exchange.nowMs = exchange.context.clock.now();
    this.#connection = undefined;
    this.#end(exchange.nowMs >= exchange.deadlineMs ? "E_REQUEST_TIMEOUT" : code);
  }

  onRequestBody(bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchange;
    const connection = this.#connection;
    if (!this.#connected || connection === undefined) {
      exchange.hold(bytes, start, end);
      return;
    }
    if (!this.#tunnel && exchange.keepsBody(end - start)) {
      exchange.hold(bytes, start, end);
      exchange.heldWasSent();
    }
    connection.send(bytes, start, end, false);
    this.#sendMayWait(connection);
  }

  onUpstreamDrain(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#exchange.nowMs = this.#exchange.context.clock.now();
    this.#exchange.client.resumeBody();
    this.#armDeadline(connection);
  }

  onClientDrain(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#exchange.nowMs = this.#exchange.context.clock.now();
    connection.resume();
    this.#armDeadline(connection);
  }

  onClientEnd(): void {
    this.#connection?.finishSending();
  }

  onUpstreamData(bytes: Buffer): void {
    const exchange = this.#exchange;
    const connection = this.#connection;
    if (connection === undefined) return;
    exchange.nowMs = exchange.context.clock.now();
    exchange.context.metrics.add(this.endpoint.cells + ENDPOINT.bytesIn, bytes.length);
    if (!this.#relay.begun) this.#noteFirstByte();
    const result = this.#relay.feed(bytes);
    switch (result) {
      case "done":
        this.#end(undefined);
        return;
      case "failed":
        this.#end(this.#relay.failure);
        return;
      case "unwanted":
        this.#end("unwanted");
        return;
      case "tunnel":
        this.#tunnel = true;
        exchange.client.resumeBody();
        break;
      case "more":
        break;
    }
    if (exchange.client.congested) connection.pause();
    this.#armDeadline(connection);
  }

  onUpstreamClosed(clean: boolean): void {
    this.#exchange.nowMs = this.#exchange.context.clock.now();
    this.#connection = undefined;
    if (this.#tunnel) this.#end(undefined);
    else this.#end(this.#relay.closed(clean) === "done" ? undefined : this.#relay.failure);
  }

  onUpstreamDeadline(nowMs: number): void {
    const exchange = this.#exchange;
    exchange.nowMs = nowMs;
    if (this.#tunnel) this.#end(undefined);
    else if (nowMs >= exchange.deadlineMs) this.#end("E_REQUEST_TIMEOUT");
    else this.#end(exchange.answerBegun ? "E_UPSTREAM_STALLED" : "E_RESPONSE_TIMEOUT");
  }

  onEndpointLeft(): void {
    this.#exchange.nowMs = this.#exchange.context.clock.now();
    if (!this.#tunnel) return this.#end("E_ENDPOINT_LEFT");
    this.#exchange.client.sayGoodbye();
    this.#end(undefined);
  }

  cancel(): void {
    this.#guard?.cancelled(this.#admission);
    this.#letGo(false);
  }

  /** Another was quicker. All that is known of this endpoint is that it would have taken longer than it has so far. */
  cancelAsSlow(): void {
    const elapsedMs = this.#exchange.nowMs - this.#startedMs;
    this.#view.observers?.get(this.endpoint)?.onRelease?.(this.endpoint, elapsedMs, false);
    this.cancel();
  }

  isUnwanted(head: Head): boolean {
    return this.watch === undefined ? judgeAnswer(this.#exchange, head) : this.watch.isUnwanted(this, head);
  }

  #send(connection: UpstreamChannel): void {
    const exchange = this.#exchange;
    this.#connected = true;
    this.#sentMs = exchange.nowMs;
    const { writer } = exchange.context;
    if (!connection.reused) this.#introduce(connection);
    writeRequestHead(writer, exchange, this.endpoint.id);
    const { held } = exchange;
    let next = 0;
    if (held !== undefined) {
      for (; next < held.length; next++) {
        const piece = held[next] as Buffer;
        if (writer.length + piece.length > COALESCE_BYTES) break;
        writer.copy(piece, 0, piece.length);
      }
    }
    connection.send(writer.bytes, 0, writer.length, true);
    exchange.context.metrics.add(this.endpoint.cells + ENDPOINT.bytesOut, writer.length);
    if (held !== undefined) {
      for (; next < held.length; next++) connection.send(held[next] as Buffer, 0, (held[next] as Buffer).length, false);
      exchange.heldWasSent();
    }
    if (!exchange.body.complete) exchange.client.resumeBody();
    this.#sendMayWait(connection);
  }

  /** Tells the endpoint who the client is, when it wants to know before the first request. */
  #introduce(connection: UpstreamChannel): void {
    const { proxyProtocol } = this.endpoint.connections;
    if (proxyProtocol === undefined) return;
    const { client, requestId } = this.#exchange;
    const header = proxyHeader(proxyProtocol, client.origin, client.ends(), requestId);
    connection.send(header, 0, header.length, false);
  }

  #sendMayWait(connection: UpstreamChannel): void {
    if (connection.congested) this.#exchange.client.pauseBody();
    this.#armDeadline(connection);
  }

  /** Which silence is the endpoint's fault, and how long it may last. */
  #armDeadline(connection: UpstreamChannel): void {
    const exchange = this.#exchange;
    const { timeouts } = this.#route;
    const now = exchange.nowMs;
    if (this.#tunnel) {
      connection.deadlineMs = now + timeouts.tunnel;
      return;
    }
    let silence = NEVER;
    if (exchange.answerBegun) silence = exchange.client.congested ? NEVER : now + timeouts.idle;
    else if (exchange.body.complete) silence = now + timeouts.response;
    else if (connection.congested) silence = now + timeouts.idle;
    connection.deadlineMs = Math.min(silence, exchange.deadlineMs);
    if (!exchange.answerBegun && this.#tryDeadlineMs < connection.deadlineMs)
      connection.deadlineMs = this.#tryDeadlineMs;
  }

  /** When the answer must have begun for this try to go on. */
  get #tryDeadlineMs(): number {
    return this.#startedMs + this.#perTryMs;
  }

  #noteFirstByte(): void {
    const { context } = this.#exchange;
    this.firstByteMs = this.#exchange.nowMs - this.#sentMs;
    this.#exchange.firstByteMs = this.firstByteMs;
    context.metrics.observe(this.endpoint.cells + ENDPOINT.firstByte, this.firstByteMs);
    this.watch?.begins(this);
  }

  #end(end: AttemptEnd): void {
    const { context } = this.#exchange;
    if (end !== undefined) context.metrics.add(this.endpoint.cells + ENDPOINT.failures, 1);
    this.#view.observers?.get(this.endpoint)?.onRelease?.(this.endpoint, this.#latencyMs, end !== undefined);
    if (this.#guard !== undefined) this.#judge(this.#guard, end);
    const isWhole = end === undefined || end === "unwanted";
    this.#letGo(isWhole && this.#relay.reusable && this.#exchange.body.complete && !this.#tunnel);
    this.#ended(this.#exchange, this, end);
  }

  get #latencyMs(): number {
    return this.firstByteMs < 0 ? this.#exchange.nowMs - this.#startedMs : this.firstByteMs;
  }

  #judge(guard: EndpointGuard, end: AttemptEnd): void {
    const outcome = attemptOutcome(this.#exchange, end, this.#relay.status);
    if (outcome === undefined) guard.cancelled(this.#admission);
    else guard.ended(this.#admission, outcome, this.#latencyMs, this.#exchange.nowMs);
  }

  /** Gives the connection and the endpoint's place back, once. */
  #letGo(reusable: boolean): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#connected = false;
    this.#relay.release();
    this.endpoint.release();
    connection?.release(reusable, this.#exchange.nowMs);
  }
}
