/** The body of a request on its way from its stream to its exchange. */
import type { ErrorCode } from "../../base/errors.ts";
import { ReceiveWindow } from "../../protocols/http2/flow-window.ts";
import { BodyPace } from "../body-pace.ts";
import type { Exchange } from "../exchange.ts";

export const MISMATCH = "DATA and content-length do not fit";
export type UploadProblem = ErrorCode | typeof MISMATCH;

/** How much of a request that is answered already is read and thrown away. */
const LINGER_BYTES = 4 * 1_048_576;

export class StreamUpload {
  readonly window: ReceiveWindow;
  isPaused = false;
  /** Bytes that were received and not given back to the window. */
  #owed = 0;
  #discarded = 0;
  #chunked = false;
  #pace: BodyPace | undefined;

  constructor(windowBytes: number) {
    this.window = new ReceiveWindow(windowBytes);
  }

  begin(chunked: boolean, nowMs: number): void {
    this.#chunked = chunked;
    this.#pace = new BodyPace(nowMs);
  }

  pause(nowMs: number): void {
    this.isPaused = true;
    this.#pace?.pause(nowMs);
  }

  resume(nowMs: number): void {
    this.isPaused = false;
    this.#pace?.resume(nowMs);
  }

  /** Bytes were received and are not passed on yet. */
  owe(bytes: number): void {
    this.#owed += bytes;
  }

  /** How many bytes are to be given back to the window now. */
  takeOwed(): number {
    const owed = this.#owed;
    this.#owed = 0;
    return owed;
  }

  /** Passes DATA on; a body of unknown length goes on in chunks. Returns what is wrong with it. */
  take(exchange: Exchange, bytes: Buffer, start: number, end: number): UploadProblem | undefined {
    if (exchange.body.complete) return MISMATCH;
    if (!this.#chunked) return this.#pass(exchange, bytes, start, end);
    const chunk = chunkOf(bytes, start, end);
    return this.#pass(exchange, chunk, 0, chunk.length);
  }

  /** There is no more DATA. `trailers`: lines with their line breaks. Returns what is wrong with it. */
  end(exchange: Exchange, trailers: string): UploadProblem | undefined {
    if (!this.#chunked) return exchange.body.complete ? undefined : MISMATCH;
    const last = Buffer.from(`0\r\n${trailers}\r\n`, "latin1");
    return this.#pass(exchange, last, 0, last.length);
  }

  /** Nobody wants these bytes any more. False when there are too many of them. */
  discard(bytes: number): boolean {
    this.#discarded += bytes;
    return this.#discarded <= LINGER_BYTES;
  }

  #pass(exchange: Exchange, bytes: Buffer, start: number, end: number): UploadProblem | undefined {
    const { body, nowMs, settings } = exchange;
    const stop = body.consume(bytes, start, end);
    if (body.problem !== undefined) return body.problem;
    if (body.complete) exchange.receivedMs = nowMs;
    else if (this.#pace?.isTooSlow(body.received, settings.limits.bodyRate, nowMs) === true) return "E_BODY_TOO_SLOW";
    if (exchange.attempt === undefined) exchange.hold(bytes, start, stop);
    else exchange.attempt.onRequestBody(bytes, start, stop);
    return stop < end ? MISMATCH : undefined;
  }
}

function chunkOf(bytes: Buffer, start: number, end: number): Buffer {
  const size = `${(end - start).toString(16)}\r\n`;
  const chunk = Buffer.allocUnsafe(size.length + end - start + 2);
  chunk.write(size, "latin1");
  bytes.copy(chunk, size.length, start, end);
  chunk.write("\r\n", chunk.length - 2, "latin1");
  return chunk;
}
