/**
 * Follows a chunked body (RFC 9112 section 7.1) over pieces of any size: checks it strictly and finds its end, so that
 * the bytes can be passed on as they are. Can also report where the data is, for peers that must get it without chunks.
 */
import { CR, HEX, LF, SEMICOLON, SPACE, TAB, VALUE } from "./characters.ts";

const SIZE = 0;
const SIZE_SPACE = 1;
const EXTENSION = 2;
const SIZE_LF = 3;
const DATA = 4;
const DATA_CR = 5;
const DATA_LF = 6;
const TRAILER_START = 7;
const TRAILER_NAME = 8;
const TRAILER_VALUE = 9;
const TRAILER_LF = 10;
const FINAL_LF = 11;
const ENDED = 12;
const FAILED = 13;

/** 13 hexadecimal digits stay exact in a double. */
const MAX_SIZE_DIGITS = 13;
/** Per chunk. Extensions have no use that we know of, and cost a receiver work without giving it data. */
const MAX_EXTENSION_BYTES = 1_024;
const MAX_TRAILER_BYTES = 16_384;
/** Trailer fields that would change how a message is framed, routed or who is let in (RFC 9110 section 6.5.1). */
const FORBIDDEN_TRAILERS = new Set([
  "transfer-encoding",
  "content-length",
  "host",
  "connection",
  "trailer",
  "te",
  "upgrade",
  "expect",
  "authorization",
  "cookie",
  "set-cookie",
  "cache-control",
  "content-encoding",
  "content-type",
  "content-range",
]);

export class ChunkedBody {
  /** Bytes of data seen so far, without chunk sizes and trailers. */
  dataBytes = 0;
  /** The trailer lines so far, each with its line break. Whole once `ended`. */
  trailers = "";
  #state = SIZE;
  #digits = 0;
  #remaining = 0;
  #extensionBytes = 0;
  #trailerBytes = 0;
  #trailerName = "";

  get ended(): boolean {
    return this.#state === ENDED;
  }

  get failed(): boolean {
    return this.#state === FAILED;
  }

  /**
   * Goes over `bytes` from `start` to `end` and returns where it stopped: at `end`, behind the last byte of the body, or
   * at the byte that is wrong (then `failed`). `onData` is told the ranges that are data.
   */
  consume(bytes: Uint8Array, start: number, end: number, onData?: (from: number, to: number) => void): number {
    let cursor = start;
    while (cursor < end && this.#state < ENDED) {
      if (this.#state === DATA) {
        const take = Math.min(this.#remaining, end - cursor);
        onData?.(cursor, cursor + take);
        this.#remaining -= take;
        this.dataBytes += take;
        cursor += take;
        if (this.#remaining === 0) this.#state = DATA_CR;
      } else {
        if (!this.#step(bytes[cursor] as number)) {
          this.#state = FAILED;
          return cursor;
        }
        cursor++;
      }
    }
    return cursor;
  }

  #step(byte: number): boolean {
    switch (this.#state) {
      case SIZE:
      case SIZE_SPACE:
      case EXTENSION:
      case SIZE_LF:
        return this.#stepSizeLine(byte);
      case DATA_CR:
        this.#state = DATA_LF;
        return byte === CR;
      case DATA_LF:
        this.#state = SIZE;
        this.#digits = 0;
        this.#extensionBytes = 0;
        this.#remaining = 0;
        return byte === LF;
      default:
        return this.#stepTrailer(byte);
    }
  }

  #stepSizeLine(byte: number): boolean {
    if (this.#state === SIZE_LF) {
      if (byte !== LF) return false;
      this.#state = this.#remaining === 0 ? TRAILER_START : DATA;
      return true;
    }
    if (this.#state === SIZE) {
      const digit = HEX[byte] as number;
      if (digit > 0) {
        this.#remaining = this.#remaining * 16 + digit - 1;
        return ++this.#digits <= MAX_SIZE_DIGITS;
      }
      if (this.#digits === 0) return false;
    }
    if (byte === CR) {
      const afterSpace = this.#state === SIZE_SPACE;
      this.#state = SIZE_LF;
      return !afterSpace;
    }
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return false;
    if (this.#state === EXTENSION) return VALUE[byte] === 1;
    if (byte === SEMICOLON) {
      this.#state = EXTENSION;
      return true;
    }
    // White space is allowed before an extension only.
    this.#state = SIZE_SPACE;
    return byte === SPACE || byte === TAB;
  }

  #stepTrailer(byte: number): boolean {
    if (++this.#trailerBytes > MAX_TRAILER_BYTES) return false;
    switch (this.#state) {
      case TRAILER_START:
        if (byte === CR) {
          this.#state = FINAL_LF;
          return true;
        }
        this.trailers += String.fromCharCode(byte);
        this.#trailerName = "";
        this.#state = TRAILER_NAME;
        return this.#stepTrailerName(byte);
      case TRAILER_NAME:
        this.trailers += String.fromCharCode(byte);
        return this.#stepTrailerName(byte);
      case TRAILER_VALUE:
        this.trailers += String.fromCharCode(byte);
        if (byte === CR) this.#state = TRAILER_LF;
        return byte === CR || VALUE[byte] === 1;
      case TRAILER_LF:
        this.trailers += "\n";
        this.#state = TRAILER_START;
        return byte === LF;
      default:
        this.#state = ENDED;
        return byte === LF;
    }
  }

  #stepTrailerName(byte: number): boolean {
    const character = String.fromCharCode(byte);
    if (character === ":") {
      this.#state = TRAILER_VALUE;
      return this.#trailerName !== "" && !FORBIDDEN_TRAILERS.has(this.#trailerName.replaceAll("_", "-"));
    }
    this.#trailerName += character.toLowerCase();
    return byte < 0x80 && /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(character);
  }
}
