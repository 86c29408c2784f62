/** What bounds one HTTP/2 connection to an endpoint: how much it may send, and how long it may be silent. */
import { DEFAULT_READER_LIMITS, type FrameReaderOptions } from "../../protocols/http2/reader-options.ts";
import { NEVER } from "../../transport/deadlines.ts";

/** An exchange given up after this much silence has the endpoint asked whether it is still there. */
export const SILENCE_MS = 1_000;
const PING_TIMEOUT_MS = 5_000;
/** In which the endpoint must take something of what waits for it. */
const WRITE_TIMEOUT_MS = 60_000;
/** A field block above this ends the connection, with all that is on it; a smaller one that is too large only its stream. */
const MIN_BLOCK_BYTES = 262_144;

/** `maxHeadBytes`: the largest head that is accepted. */
export function readerOptions(maxHeadBytes: number): FrameReaderOptions {
  const { maxFrameBytes, maxContinuations } = DEFAULT_READER_LIMITS;
  const maxBlockBytes = Math.max(MIN_BLOCK_BYTES, 2 * maxHeadBytes);
  return {
    maxFrameBytes,
    maxBlockBytes,
    maxContinuations: maxContinuations + Math.ceil(maxBlockBytes / maxFrameBytes),
    role: "client",
  };
}

/** When a connection counts as dead, on the clock's scale. */
export class UpstreamDeadlines {
  #writeMs = NEVER;
  #pingMs = NEVER;

  get nextMs(): number {
    return Math.min(this.#writeMs, this.#pingMs);
  }

  hasFailed(nowMs: number): boolean {
    return this.nextMs <= nowMs;
  }

  /** The endpoint does not take all that was sent, or has just taken some of it. */
  congested(nowMs: number): void {
    this.#writeMs = nowMs + WRITE_TIMEOUT_MS;
  }

  drained(): void {
    this.#writeMs = NEVER;
  }

  /** Whether the endpoint is to be asked for a sign of life; false while the question before is not answered. */
  asked(nowMs: number): boolean {
    if (this.#pingMs !== NEVER) return false;
    this.#pingMs = nowMs + PING_TIMEOUT_MS;
    return true;
  }

  /** Anything came. True when it was waited for. */
  heard(): boolean {
    if (this.#pingMs === NEVER) return false;
    this.#pingMs = NEVER;
    return true;
  }
}
