/**
 * A connection of which nothing is known yet: reads the PROXY protocol header of a trusted proxy, then makes way for the
 * connection proper.
 */
import { MORE } from "../protocols/outcome.ts";
import type { ProxyHeader } from "../protocols/proxy-protocol/header.ts";
import { parseProxyHeader } from "../protocols/proxy-protocol/parse.ts";
import { Connection } from "../transport/connection.ts";

const BOTH_VERSIONS = { v1: true, v2: true };

export interface PrefaceOwner {
  /** The header is there; `rest` are the connection's own first bytes. */
  prefaceRead(connection: PrefaceConnection, header: ProxyHeader, rest: Buffer): void;
  /** It is gone, or what came was no header, or none came in time. */
  prefaceFailed(connection: PrefaceConnection, reason: string): void;
}

export class PrefaceConnection extends Connection {
  readonly ip: string;
  readonly #owner: PrefaceOwner;
  #bytes: Buffer | undefined;
  #settled = false;

  constructor(owner: PrefaceOwner, ip: string, deadlineMs: number) {
    super();
    this.#owner = owner;
    this.ip = ip;
    this.deadlineMs = deadlineMs;
  }

  override onData(bytes: Buffer): void {
    if (this.#settled) return;
    const all = this.#bytes === undefined ? bytes : Buffer.concat([this.#bytes, bytes]);
    const result = parseProxyHeader(all, all.length, BOTH_VERSIONS);
    if (result === MORE) this.#bytes = all;
    else if ("error" in result) this.#fail(result.error);
    else {
      this.#settled = true;
      this.#owner.prefaceRead(this, result, all.subarray(result.length));
    }
  }

  override onDrain(): void {}

  override onPeerEnd(): void {
    this.#fail("the connection ended before its PROXY header was complete");
  }

  override onClose(): void {
    this.#fail("the connection was closed before its PROXY header was complete");
  }

  override onDeadline(): void {
    this.#fail("no PROXY header in time");
  }

  #fail(reason: string): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#owner.prefaceFailed(this, reason);
    this.abort();
  }
}
