/**
 * A connection whose first bytes are looked at before TLS begins, and left where they are: it stays paused, and is told
 * when something is there. Bounded in time; how many there are is bounded by its owner.
 */
import { type Malformed, MORE } from "../protocols/outcome.ts";
import { Connection } from "../transport/connection.ts";
import type { Origin } from "../transport/origin.ts";
import { type Peeker, type Peeking, peekBytes } from "../transport/peek.ts";

export interface PeekOwner {
  /** Looks at the first `length` bytes of `bytes`, which are good until it returns. Undefined when it has seen enough. */
  look(connection: PeekConnection, bytes: Buffer, length: number): typeof MORE | Malformed | undefined;
  /** It is gone, sent something wrong, or took too long. */
  peekFailed(connection: PeekConnection, reason: string): void;
}

/** The longest ClientHello there is room for, and some. Nobody looks at two at a time. */
const buffer = Buffer.allocUnsafe(66_000);

export class PeekConnection extends Connection implements Peeking {
  /** Who it is for, as far as that is known. */
  readonly origin: Origin;
  readonly purpose: "proxy header" | "hello";
  descriptor = -1;
  readonly #owner: PeekOwner;
  readonly #peeker: Peeker;
  #settled = false;

  constructor(owner: PeekOwner, peeker: Peeker, origin: Origin, purpose: "proxy header" | "hello", deadlineMs: number) {
    super();
    this.#owner = owner;
    this.#peeker = peeker;
    this.origin = origin;
    this.purpose = purpose;
    this.deadlineMs = deadlineMs;
  }

  /** To be called once it has its socket. */
  begin(): void {
    this.pause();
    this.descriptor = (this.socket as unknown as { readonly fd: number }).fd;
    this.#look(false);
    // Nearly always the bytes are there with the connection.
    if (!this.#settled) this.#peeker.add(this);
  }

  onReadable(ended: boolean): void {
    this.#look(ended);
  }

  override detach(): ReturnType<Connection["detach"]> {
    this.#settle();
    return super.detach();
  }

  /** Nothing is read while it is paused. */
  override onData(): void {}
  override onDrain(): void {}

  override onPeerEnd(): void {
    this.#fail(`the connection ended before its ${this.purpose} was complete`);
  }

  override onClose(): void {
    this.#fail(`the connection was closed before its ${this.purpose} was complete`);
  }

  override onDeadline(): void {
    this.#fail(`no ${this.purpose} in time`);
  }

  #look(ended: boolean): void {
    const length = peekBytes(this.descriptor, buffer);
    const result = length > 0 ? this.#owner.look(this, buffer, length) : MORE;
    if (result === undefined) return this.#settle();
    if (result !== MORE) this.#fail(result.error);
    else if (ended || length === 0) this.onPeerEnd();
  }

  #settle(): void {
    this.#settled = true;
    this.#peeker.remove(this);
  }

  #fail(reason: string): void {
    if (this.#settled) return;
    this.#settle();
    this.#owner.peekFailed(this, reason);
    this.abort();
  }
}
