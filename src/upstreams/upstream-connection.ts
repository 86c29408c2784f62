/** One connection to an endpoint: being made, idle in its pool, or lent to one exchange. */
import type { ErrorCode } from "../base/errors.ts";
import { NEVER } from "../transport/deadlines.ts";
import { DialedConnection } from "./dial.ts";
import type { Borrower, UpstreamChannel } from "./upstream-channel.ts";

/** Where a connection belongs: the pool that made it. */
export interface ConnectionHome {
  connected(): void;
  /** On the clock's scale. */
  now(): number;
  /** Takes it back after a complete exchange. */
  giveBack(connection: UpstreamConnection, nowMs: number): void;
  /** It is gone, or was never made. */
  forget(connection: UpstreamConnection): void;
}

type State = "connecting" | "idle" | "lent" | "closed";

export class UpstreamConnection extends DialedConnection implements UpstreamChannel {
  readonly pool: ConnectionHome;
  readonly bornMs: number;
  /** Whether an exchange has ended on it before: the endpoint may close it just as the next one begins. */
  reused = false;
  state: State = "connecting";
  /** Counted as open in the metrics. */
  wasOpen = false;
  borrower: Borrower | undefined;
  #peerEnded = false;

  constructor(pool: ConnectionHome, borrower: Borrower, nowMs: number) {
    super();
    this.pool = pool;
    this.borrower = borrower;
    this.bornMs = nowMs;
  }

  override opened(): void {
    if (this.state === "closed") {
      this.close();
      return;
    }
    this.deadlineMs = NEVER;
    this.wasOpen = true;
    this.pool.connected();
    const borrower = this.borrower;
    if (borrower === undefined) {
      // Whoever asked has left meanwhile; the next one will be glad of it.
      this.pool.giveBack(this, this.pool.now());
      return;
    }
    this.state = "lent";
    borrower.onConnected(this);
  }

  override failConnecting(code: ErrorCode): void {
    if (this.state !== "connecting") return;
    this.state = "closed";
    this.pool.forget(this);
    const borrower = this.borrower;
    this.borrower = undefined;
    borrower?.onConnectFailed(code);
  }

  release(reusable: boolean, nowMs: number): void {
    this.borrower = undefined;
    if (reusable) this.pool.giveBack(this, nowMs);
    // One that is still being made will be there for the next exchange.
    else if (this.state !== "connecting") this.close();
  }

  /** Its endpoint is taken out of service. */
  endpointLeft(): void {
    const { borrower } = this;
    if (this.state === "connecting") this.failConnecting("E_CONNECT_FAILED");
    else if (borrower === undefined) this.close();
    else borrower.onEndpointLeft();
  }

  override onData(bytes: Buffer): void {
    // An endpoint that speaks without being asked cannot be trusted: its words would be taken for the next answer.
    if (this.borrower === undefined) this.close();
    else this.borrower.onUpstreamData(bytes);
  }

  override onDrain(): void {
    this.borrower?.onUpstreamDrain();
  }

  override onPeerEnd(): void {
    this.#peerEnded = true;
    // What was received must be handed on before the connection counts as closed; `close` does both.
    this.close();
  }

  override onClose(): void {
    const borrower = this.borrower;
    this.borrower = undefined;
    this.state = "closed";
    this.pool.forget(this);
    borrower?.onUpstreamClosed(this.#peerEnded);
  }

  override onDeadline(nowMs: number): void {
    if (this.state === "connecting") {
      this.failConnecting("E_CONNECT_TIMEOUT");
      // A TLS handshake that hangs has a socket already.
      this.abort();
    } else if (this.borrower !== undefined) this.borrower.onUpstreamDeadline(nowMs);
    else this.close();
  }
}
