/** A connection in the middle of its TLS handshake: bounded in time, and refused in words the other side understands. */
import { Connection } from "../transport/connection.ts";
import type { Origin } from "../transport/origin.ts";

export interface HandshakeOwner {
  /** It was closed, or took too long. */
  handshakeEnded(connection: HandshakeConnection, reason: string): void;
}

export class HandshakeConnection extends Connection {
  /** Who it is for, but for what the handshake will tell. */
  readonly origin: Origin;
  /** An authority that looks whether a name is ours: it wants the handshake and nothing else. */
  readonly forChallenge: boolean;
  readonly #owner: HandshakeOwner;
  #settled = false;

  constructor(owner: HandshakeOwner, origin: Origin, deadlineMs: number, forChallenge = false) {
    super();
    this.#owner = owner;
    this.origin = origin;
    this.deadlineMs = deadlineMs;
    this.forChallenge = forChallenge;
  }

  /** It has come to its end, in one way or the other. The runtime tells of a closed connection as of a failed handshake, too. */
  get isSettled(): boolean {
    return this.#settled;
  }

  /** Takes the socket away: the handshake is done, or has failed and been dealt with. */
  settle(): ReturnType<Connection["detach"]> {
    this.#settled = true;
    return this.detach();
  }

  /** Nothing comes before the handshake is done. */
  override onData(): void {}
  override onDrain(): void {}
  override onPeerEnd(): void {}

  override onClose(): void {
    this.#end("the connection was closed in the handshake");
  }

  override onDeadline(): void {
    this.#end("the handshake took too long");
    this.abort();
  }

  #end(reason: string): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#owner.handshakeEnded(this, reason);
  }
}
