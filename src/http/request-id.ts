/** UUIDv7 (RFC 9562 section 5.7) for X-Request-ID: sorted by time, and cheap enough to make one for each request. */
import type { Clock } from "../base/clock.ts";

export const REQUEST_ID_LENGTH = 36;
const HEX_DIGITS = Buffer.from("0123456789abcdef");
const DASH = 0x2d;
const BATCH = 1_024;
const scratch = Buffer.alloc(REQUEST_ID_LENGTH);

/** An id as numbers: most requests pass it on as bytes, and only some need it as text. */
export interface RequestId {
  wallMs: number;
  a: number;
  b: number;
  c: number;
}

/** Draws from the system's generator in batches, so that ids cannot be guessed and cost little. */
export class RequestIds {
  readonly #clock: Clock;
  readonly #random = new Uint32Array(BATCH);
  #next = BATCH;
  #epochMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `nowMs` on the clock's scale; asking for the wall time each time would cost more than the rest. */
  next(nowMs: number): RequestId {
    if (this.#next + 3 > BATCH) {
      crypto.getRandomValues(this.#random);
      this.#next = 0;
      this.#epochMs = this.#clock.wallNow() - this.#clock.now();
    }
    const random = this.#random;
    return {
      wallMs: Math.floor(this.#epochMs + nowMs),
      a: random[this.#next++] as number,
      b: random[this.#next++] as number,
      c: random[this.#next++] as number,
    };
  }
}

/** Writes the 36 characters of `id` at `at`. */
export function writeRequestId(id: RequestId, bytes: Buffer, at: number): void {
  writeHex(bytes, at, Math.floor(id.wallMs / 0x10000), 8);
  bytes[at + 8] = DASH;
  writeHex(bytes, at + 9, id.wallMs % 0x10000, 4);
  bytes[at + 13] = DASH;
  writeHex(bytes, at + 14, 0x7000 | (id.a & 0xfff), 4);
  bytes[at + 18] = DASH;
  writeHex(bytes, at + 19, 0x8000 | ((id.a >>> 12) & 0x3fff), 4);
  bytes[at + 23] = DASH;
  writeHex(bytes, at + 24, id.b & 0xffff, 4);
  writeHex(bytes, at + 28, id.c, 8);
}

export function requestIdText(id: RequestId): string {
  writeRequestId(id, scratch, 0);
  return scratch.toString("latin1");
}

/** An id that was sent by somebody else: what is passed on must be short and harmless in logs. */
export function isRequestId(text: string): boolean {
  return /^[A-Za-z0-9._:/+=-]{1,128}$/.test(text);
}

function writeHex(bytes: Buffer, at: number, value: number, digits: number): void {
  for (let shift = (digits - 1) * 4; shift >= 0; shift -= 4) {
    bytes[at++] = HEX_DIGITS[(value >>> shift) & 15] as number;
  }
}
