/**
 * Reads the heads of a connection's requests, one after another. A head may come in any number of pieces: what there is of it is
 * kept, as are requests that were sent ahead.
 */
import type { Head, HeadLimits } from "../protocols/http1/head.ts";
import { MORE } from "../protocols/http1/head.ts";
import { parseRequestHead } from "../protocols/http1/parse-request.ts";
import { releaseHead, takeHead } from "./heads.ts";
import { ReceivedBytes } from "./received-bytes.ts";

export class RequestReader extends ReceivedBytes {
  /** When the first byte of the head arrived that is being read. */
  startedMs = 0;
  #head: Head | undefined;

  /** In the middle of a head. */
  get isReading(): boolean {
    return this.#head !== undefined;
  }

  begin(bytes: Buffer, start: number, nowMs: number): void {
    this.#head = takeHead(bytes, start);
    this.startedMs = nowMs;
  }

  /** Puts `bytes` behind those that are kept. All of them are to be read then, from 0 to `length`. */
  join(bytes: Buffer): Buffer {
    const all = this.append(bytes, 0, bytes.length);
    if (this.#head !== undefined) this.#head.bytes = all;
    return all;
  }

  /** Reads on as far as `end`. MORE: the head is not whole yet, and what there is of it, from `start`, is kept. */
  read(bytes: Buffer, start: number, end: number, limits: HeadLimits): number {
    const result = parseRequestHead(this.#head as Head, end, limits);
    if (result === MORE) this.#keepPartial(bytes, start, end, limits);
    return result;
  }

  /** The head, whole or not, is the caller's now. */
  finish(): Head {
    const head = this.#head as Head;
    this.#head = undefined;
    return head;
  }

  /** Gives back what there is. */
  drop(): void {
    if (this.#head !== undefined) releaseHead(this.finish());
    this.clear();
  }

  #keepPartial(bytes: Buffer, start: number, end: number, limits: HeadLimits): void {
    if (bytes === this.bytes && start === 0) return;
    // A new buffer with the head at its beginning: parse from there, from the start.
    const head = this.#head as Head;
    this.clear();
    head.reset(this.append(bytes, start, end), 0);
    parseRequestHead(head, this.length, limits);
  }
}
