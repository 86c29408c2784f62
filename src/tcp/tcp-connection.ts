/** A client's connection to a TCP listener, and both directions of the relay with their back-pressure. */
import type { ErrorCode } from "../base/errors.ts";
import { ENDPOINT, LISTENER } from "../observability/metrics-table.ts";
import type { Pool } from "../pools/pool.ts";
import type { GateTicket } from "../pools/pool-gate.ts";
import type { PoolSession } from "../pools/pool-session.ts";
import { type Admission, PASSED } from "../resilience/circuit-breaker.ts";
import type { ConcurrencyLimits } from "../resilience/concurrency-limits.ts";
import type { RetryBudget } from "../resilience/retry-budget.ts";
import type { RequestView } from "../routing/request-view.ts";
import { Connection } from "../transport/connection.ts";
import { NEVER } from "../transport/deadlines.ts";
import type { Origin, TlsView } from "../transport/origin.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { proxyHeader } from "../upstreams/proxy-header.ts";
import type { TcpContext } from "./context.ts";
import { connected, connectFailed, finish, handleConnection, refuse } from "./handle-connection.ts";
import { HelloReader } from "./hello-reader.ts";
import type { TcpRoute, TcpSnapshot } from "./snapshot.ts";
import type { TcpExchange } from "./tcp-exchange.ts";
import type { TcpUpstream } from "./upstream.ts";
import { connectionView } from "./view.ts";

/** What a listener gives its connections. */
export interface TcpListenerState {
  readonly settings: TcpSnapshot;
  /** The connection is closed: gives its place back. */
  connectionClosed(connection: TcpConnection): void;
}

/** Kept of what a client sends before there is an endpoint: usually its first message, at no cost of pausing it. */
const HELD_BYTES = 65_536;

type State = "hello" | "connecting" | "relaying" | "closed";

export class TcpConnection extends Connection implements TcpExchange {
  readonly context: TcpContext;
  readonly settings: TcpSnapshot;
  readonly startedMs: number;
  readonly origin: Origin;
  view: RequestView;

  // What becomes of it, kept by handle-connection.ts.
  matched: TcpRoute | undefined;
  poolInUse: Pool | undefined;
  ticket: GateTicket | undefined;
  budgetHeld: RetryBudget | undefined;
  retryLimits: ConcurrencyLimits | undefined;
  admission: Admission = PASSED;
  attemptsElsewhere = 0;
  key = 0;
  tried: readonly Endpoint[] | undefined;
  sessionInUse: PoolSession | undefined;
  upstream: TcpUpstream | undefined;
  stopWaiting: (() => void) | undefined;
  failure: ErrorCode | undefined;
  finished = false;
  attempts = 0;
  endpoint = "";
  connectStartedMs = 0;
  connectMs = -1;
  firstByteMs = -1;
  totalMs = -1;
  bytesIn = 0;
  bytesOut = 0;
  readonly #listener: TcpListenerState;
  #state: State = "hello";
  #hello: HelloReader | undefined;
  /** What the client has sent before there was an endpoint to send it to. */
  #held: Buffer | undefined;
  #ended = false;

  constructor(context: TcpContext, listener: TcpListenerState, origin: Origin) {
    super();
    this.context = context;
    this.#listener = listener;
    this.settings = listener.settings;
    this.origin = origin;
    this.startedMs = context.clock.now();
    this.view = connectionView(origin.clientIp, origin.tls);
  }

  /** Called once its socket is there and the listener serves. */
  begin(): void {
    if (!this.settings.readsHello) return this.#proceed();
    this.#hello = new HelloReader();
    this.deadlineMs = this.startedMs + this.settings.timeouts.hello;
  }

  // ---- What the client's socket tells

  override onData(bytes: Buffer): void {
    this.bytesIn += bytes.length;
    if (this.#hello !== undefined) return this.#readHello(bytes);
    const { upstream } = this;
    if (this.#state !== "relaying" || upstream === undefined) {
      this.#held = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes]);
      // What is more stays with the kernel until there is an endpoint.
      if (this.#held.length > HELD_BYTES) this.pause();
      return;
    }
    upstream.send(bytes, 0, bytes.length, false);
    this.context.metrics.add(upstream.endpoint.cells + ENDPOINT.bytesOut, bytes.length);
    if (upstream.congested) this.pause();
    this.#touch();
  }

  override onDrain(): void {
    this.upstream?.resume();
    this.#touch();
    this.#closeWhenBothEnded();
  }

  override onProgress(): void {
    this.#touch();
  }

  override onPeerEnd(): void {
    this.#ended = true;
    if (this.#state === "hello") return refuse(this, "E_CLIENT_CLOSED");
    if (this.#state !== "relaying") return;
    this.upstream?.finishSending();
    this.#closeWhenBothEnded();
  }

  override onClose(): void {
    this.#state = "closed";
    this.context.sweep.remove(this);
    const { metrics } = this.context;
    metrics.add(this.settings.cells + LISTENER.bytesIn, this.bytesIn);
    metrics.add(this.settings.cells + LISTENER.bytesOut, this.bytesOut);
    if (this.wasReset) this.failure ??= "E_CLIENT_CLOSED";
    finish(this);
    this.#listener.connectionClosed(this);
  }

  override onDeadline(): void {
    refuse(this, this.#state === "hello" ? "E_HELLO_TIMEOUT" : "E_IDLE");
  }

  // ---- What the endpoint's socket tells (UpstreamOwner)

  onConnected(): void {
    const upstream = this.upstream as TcpUpstream;
    this.#state = "relaying";
    connected(this, upstream);
    const { proxyProtocol } = upstream.endpoint.connections;
    if (proxyProtocol !== undefined) {
      const header = proxyHeader(
        proxyProtocol,
        { ...this.origin, tls: this.view.tls },
        this.ends(),
        crypto.randomUUID(),
      );
      upstream.send(header, 0, header.length, false);
    }
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) {
      upstream.send(held, 0, held.length, false);
      this.context.metrics.add(upstream.endpoint.cells + ENDPOINT.bytesOut, held.length);
    }
    if (!upstream.congested) this.resume();
    if (this.#ended) upstream.finishSending();
    this.#touch();
  }

  onConnectFailed(code: ErrorCode): void {
    connectFailed(this, this.upstream as TcpUpstream, code);
  }

  onUpstreamData(bytes: Buffer): void {
    const upstream = this.upstream as TcpUpstream;
    if (this.firstByteMs < 0) this.firstByteMs = this.context.clock.now() - this.connectStartedMs;
    this.context.metrics.add(upstream.endpoint.cells + ENDPOINT.bytesIn, bytes.length);
    this.bytesOut += bytes.length;
    this.send(bytes, 0, bytes.length, false);
    if (this.congested) upstream.pause();
    this.#touch();
  }

  onUpstreamDrain(): void {
    this.resume();
    this.#touch();
    this.#closeWhenBothEnded();
  }

  onUpstreamEnd(): void {
    this.finishSending();
    this.#closeWhenBothEnded();
  }

  onUpstreamClosed(ended: boolean): void {
    if (!ended) {
      this.failure ??= "E_UPSTREAM_RESET";
      finish(this);
      this.abort();
      return;
    }
    finish(this);
    // What the kernel has not taken yet still goes out; the client closes once it has it all.
    if (this.congested) this.#touch();
    else this.close();
  }

  get nowMs(): number {
    return this.context.clock.now();
  }

  // ---- For the access log (AccessRecord)

  get startedWallMs(): number {
    return this.context.clock.wallNow() - (this.context.clock.now() - this.startedMs);
  }
  get clientIp(): string {
    return this.origin.clientIp;
  }
  get clientPort(): number {
    return this.origin.told?.client.port ?? this.socket?.remotePort ?? 0;
  }
  get listener(): string {
    return this.settings.name;
  }
  get route(): string {
    return this.matched?.name ?? "";
  }
  get pool(): string {
    return this.poolInUse?.name ?? "";
  }
  get host(): string {
    return this.view.host;
  }
  get bodyBytesOut(): number {
    return this.bytesOut;
  }

  get tls(): TlsView | undefined {
    return this.view.tls;
  }
  get session(): string {
    return this.sessionInUse?.outcome ?? "";
  }
  get reason(): string {
    return this.failure ?? "";
  }
  readonly method = "";
  readonly target = "";
  readonly protocol = "TCP";
  readonly status = 0;
  readonly requestId = "";
  readonly userAgent = "";
  readonly referer = "";

  // ---- Inside

  #readHello(bytes: Buffer): void {
    const hello = this.#hello as HelloReader;
    const result = hello.read(bytes);
    if (result === "more") return;
    this.#hello = undefined;
    if (result === "bad") return refuse(this, "E_BAD_HELLO");
    this.view = connectionView(this.origin.clientIp, result);
    this.#held = hello.bytes;
    this.#proceed();
  }

  /** All is known that routes ask for. */
  #proceed(): void {
    this.#state = "connecting";
    this.deadlineMs = NEVER;
    handleConnection(this);
  }

  #touch(): void {
    this.deadlineMs = this.context.sweep.nowMs + this.settings.timeouts.idle;
  }

  #closeWhenBothEnded(): void {
    const { upstream } = this;
    if (!this.#ended || upstream === undefined || !upstream.ended) return;
    if (this.congested || upstream.congested) return;
    finish(this);
    this.close();
  }
}
