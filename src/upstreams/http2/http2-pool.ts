/** The HTTP/2 connections of one worker to one endpoint: few of them, each with many exchanges at a time. */
import type { ErrorCode } from "../../base/errors.ts";
import { ENDPOINT } from "../../observability/metrics-table.ts";
import type { ConnectionPool, ConnectionPoolContext } from "../connection-pool.ts";
import { dial } from "../dial.ts";
import type { Borrower, ChannelSource, UpstreamChannel } from "../upstream-channel.ts";
import { type Http2Home, Http2Upstream } from "./http2-upstream.ts";
import { type StreamKeeper, UpstreamStream } from "./upstream-stream.ts";

/** Exchanges that wait for one connection to be made; more make another. Fewer when the endpoint takes fewer. */
const MAX_WAITING = 100;

export class Http2Pool implements ChannelSource, Http2Home, StreamKeeper {
  readonly #connections: ConnectionPool;
  readonly #cells: number;
  readonly #context: ConnectionPoolContext;
  readonly #upstreams: Http2Upstream[] = [];
  /** By the connection that is being made for them. */
  readonly #waiting = new Map<Http2Upstream, UpstreamStream[]>();
  /** Streams that a new connection will take, as far as is known. */
  #expected = MAX_WAITING;

  /** `connections` has the settings, and says when the endpoint is no longer used. `cells`: see ConnectionPool. */
  constructor(connections: ConnectionPool, cells: number, context: ConnectionPoolContext) {
    this.#connections = connections;
    this.#cells = cells;
    this.#context = context;
    connections.onRetire = () => this.#retire();
    connections.onCloseAll = () => this.#closeAll();
  }

  get maxResponseHead(): number {
    return this.#connections.maxResponseHead;
  }

  get idleTimeoutMs(): number {
    return this.#connections.config.idleTimeout;
  }

  get secure(): boolean {
    return this.#connections.target.tls !== undefined;
  }

  now(): number {
    return this.#context.clock.now();
  }

  /** The oldest connection that has room, so that those not needed grow idle and close. */
  take(borrower: Borrower): UpstreamChannel | undefined {
    const upstreams = this.#upstreams;
    const oldest = this.now() - this.#connections.config.maxAge;
    for (let index = 0; index < upstreams.length; index++) {
      const upstream = upstreams[index] as Http2Upstream;
      if (upstream.bornMs < oldest) {
        upstream.retire();
        // Without streams it is gone at once.
        if (upstreams[index] !== upstream) index--;
      } else if (upstream.hasRoom) {
        const stream = this.#newStream(borrower);
        stream.place(upstream);
        return stream;
      }
    }
    return undefined;
  }

  dial(borrower: Borrower): UpstreamChannel {
    const stream = this.#newStream(borrower);
    this.#wait(stream);
    return stream;
  }

  upstreamReady(upstream: Http2Upstream): void {
    const waiting = this.#waiting.get(upstream);
    if (waiting === undefined) return;
    this.#waiting.delete(upstream);
    this.#upstreams.push(upstream);
    this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpened, 1);
    this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpen, 1);
    this.#expected = Math.max(1, Math.min(upstream.room, MAX_WAITING));
    for (const stream of waiting) {
      if (!stream.hasBorrower) continue;
      if (upstream.hasRoom) {
        stream.place(upstream);
        stream.connected();
      } else if (upstream.streams > 0) this.#wait(stream);
      // It takes none at all: another connection would be the same.
      else stream.fail("E_UPSTREAM_REFUSED");
    }
    if (this.#connections.keepsNothing) upstream.retire();
  }

  upstreamFailed(upstream: Http2Upstream, code: ErrorCode): void {
    const waiting = this.#waiting.get(upstream) ?? [];
    this.#waiting.delete(upstream);
    this.#context.sweep.remove(upstream);
    for (const stream of waiting) stream.fail(code);
  }

  upstreamClosed(upstream: Http2Upstream): void {
    this.#context.sweep.remove(upstream);
    const index = this.#upstreams.indexOf(upstream);
    if (index < 0) return;
    this.#upstreams.splice(index, 1);
    this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpen, -1);
  }

  forget(stream: UpstreamStream): void {
    this.#context.sweep.remove(stream);
    if (stream.streamId !== 0) return;
    for (const waiting of this.#waiting.values()) {
      const index = waiting.indexOf(stream);
      if (index >= 0) waiting.splice(index, 1);
    }
  }

  #newStream(borrower: Borrower): UpstreamStream {
    const stream = new UpstreamStream(borrower, this);
    this.#context.sweep.add(stream);
    return stream;
  }

  #wait(stream: UpstreamStream): void {
    for (const waiting of this.#waiting.values()) {
      if (waiting.length >= this.#expected) continue;
      waiting.push(stream);
      return;
    }
    const upstream = new Http2Upstream(this);
    this.#waiting.set(upstream, [stream]);
    upstream.deadlineMs = this.now() + this.#connections.config.connectTimeout;
    this.#context.sweep.add(upstream);
    dial(upstream, this.#connections.target);
  }

  #closeAll(): void {
    for (const upstream of [...this.#waiting.keys()]) {
      upstream.failConnecting("E_CONNECT_FAILED");
      upstream.abort();
    }
    for (const upstream of [...this.#upstreams]) upstream.endpointLeft();
  }

  #retire(): void {
    for (const upstream of [...this.#upstreams]) upstream.retire();
  }
}
