/** A TCP client that sends exactly the bytes it is given, in the pieces it is given, and collects what comes back. */
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly text: string;
  /** The other side closed, in order or not. */
  readonly closed: boolean;
}

export interface RawOptions {
  /** Stop when this says so; else when the other side closes. */
  readonly until?: (text: string) => boolean;
  readonly timeoutMs?: number;
  /** Send a FIN behind the bytes. */
  readonly endAfter?: boolean;
}

/** Sends the pieces one after another, each as a segment of its own as far as the kernel allows. */
export function sendRaw(
  port: number,
  pieces: string | Buffer | readonly (string | Buffer)[],
  options: RawOptions = {},
): Promise<RawAnswer> {
  const { until, timeoutMs = 5_000, endAfter = false } = options;
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    let text = "";
    let settled = false;
    const finish = (closed: boolean): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, closed });
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      if (until?.(text) === true) finish(false);
    });
    socket.on("end", () => finish(true));
    socket.on("close", () => finish(true));
    socket.on("error", () => finish(true));
    socket.on(
      "connect",
      () =>
        void sendPieces(socket, typeof pieces === "string" || Buffer.isBuffer(pieces) ? [pieces] : pieces, endAfter),
    );
  });
}

async function sendPieces(socket: Socket, pieces: readonly (string | Buffer)[], endAfter: boolean): Promise<void> {
  for (const piece of pieces) {
    if (socket.destroyed) return;
    socket.write(piece, "latin1");
    if (pieces.length > 1) await new Promise((resolve) => setImmediate(resolve));
  }
  if (endAfter) socket.end();
}

/** Whole responses with Content-Length or without a body at the start of `text`. */
export function countResponses(text: string): number {
  let rest = text;
  let count = 0;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) return count;
    const length = Number(/^content-length: (\d+)/im.exec(rest.slice(0, end))?.[1] ?? 0);
    if (rest.length < end + 4 + length) return count;
    rest = rest.slice(end + 4 + length);
    count++;
  }
}

export function statusOf(text: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
}
