/**
 * A stream socket with back-pressure: what the kernel does not take is kept, and whoever sends is asked to pause. Both
 * sides of an exchange are Connections; they differ in what they do with what arrives.
 */
import type { Socket, SocketHandler } from "bun";
import { type Deadline, NEVER } from "./deadlines.ts";
import { tellFault } from "./faults.ts";
import type { Place } from "./origin.ts";

export abstract class Connection implements Deadline {
  /** When `onDeadline` is called, on the clock's scale. A plain number: setting it costs nothing. */
  deadlineMs = NEVER;
  /** Place in the list of deadlines; kept by DeadlineSweep. */
  sweepIndex = -1;
  /** Known once closed. A peer that ends after we have finished sending shows as a close without reset, not as an end. */
  wasReset = false;
  protected socket: Socket<Connection> | undefined;
  #pending: Buffer[] | undefined;
  #paused = false;
  #finishing = false;

  /** Bytes arrived. The buffer is fresh: it may be kept. */
  abstract onData(bytes: Buffer): void;
  /** All that was waiting has been taken by the kernel. */
  abstract onDrain(): void;
  /** The kernel has taken some of what was waiting, but not all. */
  onProgress(): void {}
  /** The peer will send no more (it may still read). */
  abstract onPeerEnd(): void;
  /** The connection is gone, for whatever reason; called once. */
  abstract onClose(): void;
  abstract onDeadline(nowMs: number): void;

  attach(socket: Socket<Connection>): void {
    this.socket = socket;
  }

  /** Takes the socket away, for another connection to go on with it. */
  detach(): Socket<Connection> | undefined {
    const { socket } = this;
    this.socket = undefined;
    return socket;
  }

  /** Both ends of this connection, as the system knows them. */
  ends(): { client: Place; local: Place } {
    const { socket } = this;
    return {
      client: { ip: plainIp(socket?.remoteAddress ?? ""), port: socket?.remotePort ?? 0 },
      local: { ip: plainIp(socket?.localAddress ?? ""), port: socket?.localPort ?? 0 },
    };
  }

  get isOpen(): boolean {
    return this.socket !== undefined;
  }

  /** The peer takes less than it is sent: pause whoever fills this connection until `onDrain`. */
  get congested(): boolean {
    return this.#pending !== undefined;
  }

  /**
   * Sends `bytes` from `start` to `end`. Never fails: on a closed connection it does nothing, as `onClose` tells. Bytes
   * that the kernel does not take now are kept, as a copy when the buffer is `reused` by the caller.
   */
  send(bytes: Buffer, start: number, end: number, reused: boolean): void {
    if (this.socket === undefined || start === end) return;
    if (this.#pending !== undefined) {
      this.#pending.push(keep(bytes, start, end, reused));
      return;
    }
    const written = this.socket.write(bytes, start, end - start);
    if (written === end - start || written < 0) return;
    this.#pending = [keep(bytes, start + written, end, reused)];
  }

  pause(): void {
    if (this.#paused || this.socket === undefined) return;
    this.#paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.#paused || this.socket === undefined) return;
    this.#paused = false;
    this.socket.resume();
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  /** Sends what is waiting, then tells the peer that nothing follows. The peer's bytes are still read. */
  finishSending(): void {
    this.#finishing = true;
    if (this.#pending === undefined) this.socket?.shutdown();
  }

  /** Closes in good order; what is still waiting here is lost, what the kernel has taken is delivered. */
  close(): void {
    if (this.socket !== undefined) closeSocket(this.socket);
  }

  /** Closes with a reset, so that the peer cannot take what it has for the whole. */
  abort(): void {
    this.socket?.terminate();
  }

  /** Called by the socket handlers below. */
  socketDrained(): void {
    if (this.#pending === undefined || this.socket === undefined) return;
    while (this.#pending.length > 0) {
      const first = this.#pending[0] as Buffer;
      const written = this.socket.write(first, 0, first.length);
      if (written < 0) return;
      if (written < first.length) {
        this.#pending[0] = first.subarray(written);
        if (written > 0) this.onProgress();
        return;
      }
      this.#pending.shift();
    }
    this.#pending = undefined;
    if (this.#finishing) this.socket.shutdown();
    this.onDrain();
  }

  socketClosed(wasReset: boolean): void {
    if (this.socket === undefined) return;
    this.socket = undefined;
    this.wasReset = wasReset;
    this.#pending = undefined;
    this.onClose();
  }
}

/**
 * Closes a socket in good order. In TLS the runtime's `end` alone would wait for the peer's own end, however long that
 * takes, and nothing could hurry it then; behind `shutdown`, which says that this is the end (close_notify), it does not.
 */
export function closeSocket(socket: Socket<Connection>): void {
  const { getTLSVersion } = socket as unknown as { getTLSVersion(): string | null };
  if (getTLSVersion.call(socket) !== null) socket.shutdown();
  socket.end();
}

/** A socket for both families shows IPv4 addresses as `::ffff:1.2.3.4`. */
export function plainIp(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

function keep(bytes: Buffer, start: number, end: number, reused: boolean): Buffer {
  const rest = bytes.subarray(start, end);
  return reused ? Buffer.from(rest) : rest;
}

/** The handlers that hand a socket's events to the Connection in its `data`. */
export const connectionHandlers = {
  binaryType: "buffer",
  data: (socket, bytes) => socket.data?.onData(bytes),
  drain: (socket) => socket.data?.socketDrained(),
  end: (socket) => socket.data?.onPeerEnd(),
  close: (socket, error) => socket.data?.socketClosed(error !== undefined),
  // What broke the connection is followed by close, which is where everything is given back.
  error: (socket, error) => {
    if (tellFault(error)) socket.terminate();
  },
} as const satisfies SocketHandler<Connection>;
