/** What follows a CONNECT with `:protocol` (RFC 8441): bytes of another protocol both ways, once the endpoint agrees. */
import type { Random } from "../../base/random.ts";
import type { Head } from "../../protocols/http1/head.ts";
import type { RunningAttempt } from "../exchange.ts";
import { type WebSocketTunnel, webSocketTunnel } from "../websocket-tunnel.ts";

export class StreamTunnel {
  isOpen = false;
  /** Sent before there was an answer; bounded by the stream's window, which is not given back meanwhile. */
  #early: Buffer[] = [];
  #endedEarly = false;
  #webSocket: WebSocketTunnel | undefined;

  /** The endpoint has agreed, with 101. */
  open(head: Head): void {
    this.isOpen = true;
    this.#webSocket = webSocketTunnel(head);
    // It proves to the client that its key was read, and the client has sent none (RFC 8441 section 5).
    head.dropNamed("sec-websocket-accept");
  }

  fromClient(attempt: RunningAttempt | undefined, bytes: Buffer, start: number, end: number): void {
    if (!this.isOpen) {
      this.#early.push(bytes.subarray(start, end));
      return;
    }
    this.#webSocket?.fromClient(bytes, start, end);
    attempt?.onRequestBody(bytes, start, end);
  }

  fromEndpoint(bytes: Buffer, start: number, end: number): void {
    this.#webSocket?.fromEndpoint(bytes, start, end);
  }

  clientEnded(attempt: RunningAttempt | undefined): void {
    if (this.isOpen) attempt?.onClientEnd();
    else this.#endedEarly = true;
  }

  /** Passes on what came early, once the tunnel is open. */
  passOn(attempt: RunningAttempt | undefined): void {
    if (!this.isOpen) return;
    const early = this.#early;
    this.#early = [];
    for (const bytes of early) this.fromClient(attempt, bytes, 0, bytes.length);
    if (!this.#endedEarly) return;
    this.#endedEarly = false;
    attempt?.onClientEnd();
  }

  /** Tells the endpoint that we leave; returns how the client is told, where that is possible. */
  goodbye(attempt: RunningAttempt | undefined, random: Random): Buffer | undefined {
    return this.#webSocket?.goodbye(attempt, random);
  }
}
