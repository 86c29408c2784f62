/** The HTTP/2 connections of one worker to one endpoint: few of them, each with many exchanges at a time. */
import type { ErrorCode } from "../../base/errors.ts";
import { ENDPOINT } from "../../observability/metrics-table.ts";
import type { ConnectionPool, ConnectionPoolContext } from "../connection-pool.ts";
import { dial } from "../dial.ts";
import type { Borrower, ChannelSource, UpstreamChannel } from "../upstream-channel.ts";
import { type Http2Home, Http2Upstream } from "./http2-upstream.ts";
import { UpstreamStream } from "./upstream-stream.ts";

/** Exchanges that wait for one connection to be made; more make another. */
const MAX_WAITING = 100;

export class Http2Pool implements ChannelSource, Http2Home {
  readonly #connections: ConnectionPool;
  readonly #cells: number;
  readonly #context: ConnectionPoolContext;
  readonly #upstreams: Http2Upstream[] = [];
  /** By the connection that is being made for them. */
  readonly #waiting = new Map<Http2Upstream, UpstreamStream[]>();

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

  take(borrower: Borrower): UpstreamChannel | undefined {
    const oldest = this.now() - this.#connections.config.maxAge;
    for (const upstream of [...this.#upstreams]) {
      if (upstream.bornMs < oldest) upstream.retire();
      if (!upstream.hasRoom) continue;
      const stream = this.#newStream(borrower);
      stream.place(upstream);
      return stream;
    }
    return undefined;
  }

  dial(borrower: Borrower): UpstreamChannel {
    const stream = this.#newStream(borrower);
    for (const waiting of this.#waiting.values()) {
      if (waiting.length >= MAX_WAITING) continue;
      waiting.push(stream);
      return stream;
    }
    const upstream = new Http2Upstream(this);
    this.#waiting.set(upstream, [stream]);
    upstream.deadlineMs = this.now() + this.#connections.config.connectTimeout;
    this.#context.sweep.add(upstream);
    dial(upstream, this.#connections.target);
    return stream;
  }

  upstreamReady(upstream: Http2Upstream): void {
    const waiting = this.#waiting.get(upstream);
    if (waiting === undefined) return;
    this.#waiting.delete(upstream);
    this.#upstreams.push(upstream);
    this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpened, 1);
    this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpen, 1);
    for (const stream of waiting) {
      if (!stream.hasBorrower) {
        this.unwatch(stream);
        continue;
      }
      stream.place(upstream);
      stream.connected();
    }
  }

  upstreamFailed(upstream: Http2Upstream, code: ErrorCode): void {
    const waiting = this.#waiting.get(upstream) ?? [];
    this.#waiting.delete(upstream);
    this.#context.sweep.remove(upstream);
    for (const stream of waiting) {
      this.unwatch(stream);
      stream.refuse(code);
    }
  }

  upstreamClosed(upstream: Http2Upstream, wasOpen: boolean): void {
    this.#context.sweep.remove(upstream);
    const index = this.#upstreams.indexOf(upstream);
    if (index >= 0) this.#upstreams.splice(index, 1);
    if (wasOpen && index >= 0) this.#context.metrics.add(this.#cells + ENDPOINT.connectionsOpen, -1);
  }

  watch(stream: UpstreamStream): void {
    this.#context.sweep.add(stream);
  }

  unwatch(stream: UpstreamStream): void {
    this.#context.sweep.remove(stream);
  }

  #newStream(borrower: Borrower): UpstreamStream {
    const stream = new UpstreamStream(borrower);
    this.watch(stream);
    return stream;
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
