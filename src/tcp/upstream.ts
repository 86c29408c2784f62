/** The endpoint's side of a TCP connection: made for one client, closed with it. */
import type { ErrorCode } from "../base/errors.ts";
import { NEVER } from "../transport/deadlines.ts";
import { DialedConnection } from "../upstreams/dial.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";

/** The other side of it. */
export interface UpstreamOwner {
  onConnected(): void;
  onConnectFailed(code: ErrorCode): void;
  onUpstreamData(bytes: Buffer): void;
  onUpstreamDrain(): void;
  onUpstreamEnd(): void;
  /** `ended`: it had finished sending before, so nothing is missing. */
  onUpstreamClosed(ended: boolean): void;
}

export class TcpUpstream extends DialedConnection {
  readonly endpoint: Endpoint;
  ended = false;
  readonly #owner: UpstreamOwner;
  #connecting = true;
  #abandoned = false;
  /** Counted as open: not before the TLS handshake is done. */
  #wasOpen = false;
  #remove: (() => void) | undefined;

  /** `remove` takes it out of the sweep of deadlines. */
  constructor(endpoint: Endpoint, owner: UpstreamOwner, remove: (connection: TcpUpstream) => void) {
    super();
    this.endpoint = endpoint;
    this.#owner = owner;
    this.#remove = () => remove(this);
  }

  dial(): void {
    this.endpoint.connections.dialOwned(this);
  }

  override opened(): void {
    this.#wasOpen = true;
    this.endpoint.connections.ownedOpened();
    if (this.#abandoned) return this.abort();
    this.#connecting = false;
    this.deadlineMs = NEVER;
    this.#owner.onConnected();
  }

  override failConnecting(code: ErrorCode): void {
    if (!this.#connecting || this.#abandoned) return;
    this.#abandoned = true;
    this.#forget();
    this.#owner.onConnectFailed(code);
  }

  /** Nobody waits for it any more. `inOrder`: all was sent; otherwise the endpoint must not take what it has for the whole. */
  abandon(inOrder: boolean): void {
    this.#abandoned = true;
    this.#forget();
    if (inOrder) this.close();
    else this.abort();
  }

  /** Both sides are closed in good order: a client of TCP knows no other word for it. */
  endpointLeft(): void {
    if (this.#connecting) return this.failConnecting("E_CONNECT_FAILED");
    this.ended = true;
    this.close();
  }

  override onData(bytes: Buffer): void {
    if (!this.#abandoned) this.#owner.onUpstreamData(bytes);
  }

  override onDrain(): void {
    if (!this.#abandoned) this.#owner.onUpstreamDrain();
  }

  override onPeerEnd(): void {
    this.ended = true;
    if (!this.#abandoned) this.#owner.onUpstreamEnd();
  }

  override onClose(): void {
    this.ended ||= !this.wasReset;
    if (this.#wasOpen) this.endpoint.connections.ownedClosed();
    this.#forget();
    if (!this.#abandoned) this.#owner.onUpstreamClosed(this.ended);
  }

  override onDeadline(): void {
    if (!this.#connecting) return;
    this.failConnecting("E_CONNECT_TIMEOUT");
    // A TLS handshake that hangs has a socket already.
    this.abort();
  }

  #forget(): void {
    this.endpoint.connections.disown(this);
    this.#remove?.();
    this.#remove = undefined;
  }
}
