/**
 * The head of a request or response: its bytes, and where in them everything is. Nothing is copied or turned into text
 * while parsing. One parser serves both sides; what differs is the first line and what the headers mean.
 */
import { latin1 } from "../../base/bytes.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { COLON, CR, LF, SPACE, TAB, TOKEN, VALUE } from "./characters.ts";
import { hashHeaderName, headerId } from "./header-names.ts";

/** What a parse step came to. */
export const MORE = 0;
export const DONE = 1;
export const BAD = -1;
export type ParseResult = typeof MORE | typeof DONE | typeof BAD;

const STRIDE = 6;
const NAME_END = 1;
const VALUE_START = 2;
const VALUE_END = 3;
const HASH = 4;
const ID = 5;
const INITIAL_FIELDS = 24;
const EMPTY = Buffer.alloc(0);

export interface HeadLimits {
  /** The whole head, its last empty line included. */
  readonly bytes: number;
  readonly fields: number;
}

export class Head {
  /** The bytes the offsets point into. Not owned when the head came in one piece; see `keep`. */
  bytes: Buffer = EMPTY;
  /** Where the first line begins. */
  start = 0;
  /** First byte that is not parsed yet; once complete, the first byte after the head. */
  position = 0;
  /** End of the first line, its line break included: where the headers begin. */
  fieldsStart = 0;
  fieldCount = 0;
  /** Why parsing came to BAD. */
  error: ErrorCode = "E_BAD_HEADER";

  /** Requests: method and target. Responses: `methodEnd` is the end of the version, the target is the status code. */
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minorVersion = 1;
  /** Responses only. */
  status = 0;

  // What the headers mean, filled in by inspect-request.ts and inspect-response.ts.
  hostField = -1;
  /** -1 when there is none. */
  contentLength = -1;
  chunked = false;
  connectionClose = false;
  connectionKeepAlive = false;
  connectionUpgrade = false;
  upgradeField = -1;
  expectContinue = false;
  /** TE: trailers. */
  acceptsTrailers = false;
  hasDate = false;
  /** Fields marked to be left out when the head is written. */
  dropped = 0;

  #fields = new Int32Array(STRIDE * INITIAL_FIELDS);
  #scanned = 0;

  /** Makes the head ready for the bytes from `start` on. */
  reset(bytes: Buffer, start: number): void {
    this.bytes = bytes;
    this.start = start;
    this.position = start;
    this.fieldsStart = 0;
    this.fieldCount = 0;
    this.methodEnd = 0;
    this.targetStart = 0;
    this.targetEnd = 0;
    this.minorVersion = 1;
    this.status = 0;
    this.hostField = -1;
    this.contentLength = -1;
    this.chunked = false;
    this.connectionClose = false;
    this.connectionKeepAlive = false;
    this.connectionUpgrade = false;
    this.upgradeField = -1;
    this.expectContinue = false;
    this.acceptsTrailers = false;
    this.hasDate = false;
    this.dropped = 0;
    this.#scanned = start;
  }

  fail(error: ErrorCode): typeof BAD {
    this.error = error;
    return BAD;
  }

  /**
   * The line at `position` is not complete. Remembers how far it was looked at, so that a line that trickles in byte by
   * byte is not scanned anew each time.
   */
  waitForLine(end: number): typeof MORE {
    this.#scanned = end;
    return MORE;
  }

  /** Whether the line at `position` can be complete by now. False only while it is known to lack its LF. */
  mayHaveLine(end: number): boolean {
    if (this.#scanned <= this.position) return true;
    const lineFeed = this.bytes.indexOf(LF, this.#scanned);
    return lineFeed >= 0 && lineFeed < end;
  }

  nameStart(field: number): number {
    return this.#fields[field * STRIDE] as number;
  }

  nameEnd(field: number): number {
    return this.#fields[field * STRIDE + NAME_END] as number;
  }

  valueStart(field: number): number {
    return this.#fields[field * STRIDE + VALUE_START] as number;
  }

  valueEnd(field: number): number {
    return this.#fields[field * STRIDE + VALUE_END] as number;
  }

  /** One of HEADER, with ALIAS set when it was written with underscores; 0 for others. */
  id(field: number): number {
    return (this.#fields[field * STRIDE + ID] as number) & 0xffff;
  }

  /** First byte after the field's line break. */
  lineEnd(field: number): number {
    return field + 1 < this.fieldCount ? this.nameStart(field + 1) : this.position - 2;
  }

  drop(field: number): void {
    if (this.isDropped(field)) return;
    this.#fields[field * STRIDE + ID] = (this.#fields[field * STRIDE + ID] as number) | DROPPED;
    this.dropped++;
  }

  isDropped(field: number): boolean {
    return ((this.#fields[field * STRIDE + ID] as number) & DROPPED) !== 0;
  }

  /** Marks every field of this name (lower case) to be left out, names written with `_` for `-` as well. */
  dropNamed(name: string): void {
    const hash = hashHeaderName(name);
    for (let field = 0; field < this.fieldCount; field++) {
      if (this.#fields[field * STRIDE + HASH] === hash && this.#sameName(field, name, true)) this.drop(field);
    }
  }

  /** The first field of this name (lower case, exactly as written) from `from` on, or -1. */
  find(name: string, from = 0): number {
    const hash = hashHeaderName(name);
    for (let field = from; field < this.fieldCount; field++) {
      if (this.#fields[field * STRIDE + HASH] === hash && this.#sameName(field, name, false)) return field;
    }
    return -1;
  }

  value(field: number): string {
    return latin1(this.bytes, this.valueStart(field), this.valueEnd(field));
  }

  /** The value of a header; several lines of it are joined with ", " (RFC 9110 section 5.3). */
  get(name: string): string | undefined {
    let field = this.find(name);
    if (field < 0) return undefined;
    let joined = this.value(field);
    for (field = this.find(name, field + 1); field >= 0; field = this.find(name, field + 1)) {
      joined += `, ${this.value(field)}`;
    }
    return joined;
  }

  addField(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number, hash: number): void {
    const at = this.fieldCount * STRIDE;
    if (at === this.#fields.length) this.#grow();
    const fields = this.#fields;
    fields[at] = nameStart;
    fields[at + NAME_END] = nameEnd;
    fields[at + VALUE_START] = valueStart;
    fields[at + VALUE_END] = valueEnd;
    fields[at + HASH] = hash;
    fields[at + ID] = headerId(hash, this.bytes, nameStart, nameEnd);
    this.fieldCount++;
  }

  #sameName(field: number, name: string, orAlias: boolean): boolean {
    const start = this.nameStart(field);
    if (this.nameEnd(field) - start !== name.length) return false;
    for (let index = 0; index < name.length; index++) {
      const byte = this.bytes[start + index] as number;
      const wanted = name.charCodeAt(index);
      if (TOKEN[byte] !== TOKEN[wanted]) return false;
      if (!orAlias && byte !== wanted && (byte | 0x20) !== wanted) return false;
    }
    return true;
  }

  #grow(): void {
    const larger = new Int32Array(this.#fields.length * 2);
    larger.set(this.#fields);
    this.#fields = larger;
  }
}

const DROPPED = 0x10000;

/** Parses header lines up to and with the empty line (RFC 9112 section 5), as far as `end`. */
export function parseFields(head: Head, end: number, maxFields: number): ParseResult {
  const bytes = head.bytes;
  let position = head.position;
  for (;;) {
    head.position = position;
    if (position >= end) return head.waitForLine(end);
    if (bytes[position] === CR) {
      if (position + 1 >= end) return head.waitForLine(end);
      if (bytes[position + 1] !== LF) return head.fail("E_BAD_HEADER");
      head.position = position + 2;
      return DONE;
    }

    let hash = 0;
    let cursor = position;
    let folded = 0;
    while (cursor < end) {
      folded = TOKEN[bytes[cursor] as number] as number;
      if (folded === 0) break;
      hash = (Math.imul(hash, 31) + folded) | 0;
      cursor++;
    }
    if (cursor >= end) return head.waitForLine(end);
    if (bytes[cursor] !== COLON || cursor === position) return head.fail("E_BAD_HEADER");
    const nameEnd = cursor++;

    while (cursor < end && (bytes[cursor] === SPACE || bytes[cursor] === TAB)) cursor++;
    const valueStart = cursor;
    while (cursor < end && VALUE[bytes[cursor] as number] === 1) cursor++;
    if (cursor >= end) return head.waitForLine(end);
    if (bytes[cursor] !== CR) return head.fail("E_BAD_HEADER");
    if (cursor + 1 >= end) return head.waitForLine(end);
    if (bytes[cursor + 1] !== LF) return head.fail("E_BAD_HEADER");

    let valueEnd = cursor;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === TAB)) valueEnd--;
    if (head.fieldCount >= maxFields) return head.fail("E_HEAD_TOO_LARGE");
    head.addField(position, nameEnd, valueStart, valueEnd, hash);
    position = cursor + 2;
  }
}
