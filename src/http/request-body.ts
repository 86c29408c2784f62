/** Follows the body of one request as it arrives: where it ends, whether it is well-formed and small enough. */
import type { ErrorCode } from "../base/errors.ts";
import { ChunkedBody } from "../protocols/http1/chunked.ts";
import type { Head } from "../protocols/http1/head.ts";

export class RequestBody {
  /** Bytes of the body seen so far, chunk sizes included. */
  received = 0;
  complete: boolean;
  /** Set when the body is wrong; no byte after that may be used. */
  problem: ErrorCode | undefined;
  /** Largest allowed, in bytes of data; 0 for no limit. Known once the route is. */
  limit = 0;
  readonly #chunked: ChunkedBody | undefined;
  #remaining: number;

  constructor(head: Head) {
    this.#chunked = head.chunked ? new ChunkedBody() : undefined;
    this.#remaining = Math.max(0, head.contentLength);
    this.complete = this.#chunked === undefined && this.#remaining === 0;
  }

  /** Whether its announced or already seen size is over the limit. */
  get isTooLarge(): boolean {
    if (this.limit === 0) return false;
    return this.#chunked === undefined
      ? this.received + this.#remaining > this.limit
      : this.#chunked.dataBytes > this.limit;
  }

  /** Takes the part of `bytes` from `start` to `end` that belongs to the body; returns where it stopped. */
  consume(bytes: Buffer, start: number, end: number): number {
    if (this.complete) return start;
    let stop: number;
    if (this.#chunked === undefined) {
      stop = Math.min(end, start + this.#remaining);
      this.#remaining -= stop - start;
      this.complete = this.#remaining === 0;
    } else {
      stop = this.#chunked.consume(bytes, start, end);
      this.complete = this.#chunked.ended;
      if (this.#chunked.failed) this.problem = "E_BAD_CHUNK";
    }
    this.received += stop - start;
    if (this.problem === undefined && this.isTooLarge) this.problem = "E_BODY_TOO_LARGE";
    return stop;
  }
}
