/**
 * A decoded field section: one run of bytes and where in it everything is, used again for the next one. The bytes are
 * written as HTTP/1.1 header lines (`name: value`, CR LF), so that a list can be sent on to an HTTP/1.1 peer, or read by
 * what reads HTTP/1.1 heads, without being put together anew.
 */
import { latin1 } from "../../base/bytes.ts";
import { CR, LF, SPACE } from "../http1/characters.ts";
import { hashHeaderName } from "../http1/header-names.ts";
import { classifyName, classifyValue, ID_MASK, NEVER_INDEXED, nameHash } from "./field-names.ts";

const STRIDE = 5;
const NAME_END = 1;
const VALUE_END = 2;
const HASH = 3;
const INFO = 4;
const INITIAL_FIELDS = 32;
const INITIAL_BYTES = 2_048;
/** Lists that had to grow beyond this give their memory back when they are cleared. */
const KEPT_BYTES = 16_384;
const COLON = 0x3a;
/** What a field counts beside its bytes (RFC 9113 section 6.5.2). */
const FIELD_OVERHEAD = 32;
const EMPTY = Buffer.alloc(0);

export class HeaderList {
  bytes: Buffer = EMPTY;
  /** End of the last line. The two bytes after it are CR LF once a list is complete: the end of an HTTP/1.1 head. */
  length = 0;
  count = 0;
  /** Size as in SETTINGS_MAX_HEADER_LIST_SIZE: bytes of names and values, and 32 for each field. */
  listBytes = 0;
  #fields = new Int32Array(STRIDE * INITIAL_FIELDS);

  clear(): void {
    this.length = 0;
    this.count = 0;
    this.listBytes = 0;
    if (this.bytes.length <= KEPT_BYTES) return;
    this.bytes = EMPTY;
    this.#fields = new Int32Array(STRIDE * INITIAL_FIELDS);
  }

  nameStart(field: number): number {
    return this.#fields[field * STRIDE] as number;
  }

  nameEnd(field: number): number {
    return this.#fields[field * STRIDE + NAME_END] as number;
  }

  valueStart(field: number): number {
    return (this.#fields[field * STRIDE + NAME_END] as number) + 2;
  }

  valueEnd(field: number): number {
    return this.#fields[field * STRIDE + VALUE_END] as number;
  }

  /** `hashHeaderName` of the name; of a pseudo-header, of the name without its colon. */
  hash(field: number): number {
    return this.#fields[field * STRIDE + HASH] as number;
  }

  /** One of FIELD, with ALIAS set when it was written with underscores. */
  id(field: number): number {
    return (this.#fields[field * STRIDE + INFO] as number) & ID_MASK;
  }

  /** The id together with BAD_NAME, BAD_VALUE and NEVER_INDEXED. */
  info(field: number): number {
    return this.#fields[field * STRIDE + INFO] as number;
  }

  neverIndexed(field: number): boolean {
    return ((this.#fields[field * STRIDE + INFO] as number) & NEVER_INDEXED) !== 0;
  }

  name(field: number): string {
    return latin1(this.bytes, this.nameStart(field), this.nameEnd(field));
  }

  value(field: number): string {
    return latin1(this.bytes, this.valueStart(field), this.valueEnd(field));
  }

  /** The first field of this name (lower case) from `from` on, or -1. */
  find(name: string, from = 0): number {
    const hash = hashHeaderName(name);
    for (let field = from; field < this.count; field++) {
      if (this.hash(field) === hash && this.name(field) === name) return field;
    }
    return -1;
  }

  /** Adds a field given as text, as a decoder would. For lists that are made here. */
  add(name: string, value: string, neverIndexed = false): void {
    this.reserve(name.length + value.length + 4);
    const nameEnd = this.length + this.bytes.write(name, this.length, "latin1");
    this.colon(nameEnd);
    const valueEnd = nameEnd + 2 + this.bytes.write(value, nameEnd + 2, "latin1");
    this.push(nameEnd, valueEnd, neverIndexed ? NEVER_INDEXED : 0);
    this.finish();
  }

  /**
   * Makes room for `count` bytes behind `length`, and for the end of a line and of the list after them. What stands
   * behind `length` already is kept.
   */
  reserve(count: number): void {
    const needed = this.length + count + 4;
    if (needed <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(INITIAL_BYTES, this.bytes.length * 2, needed));
    this.bytes.copy(larger);
    this.bytes = larger;
  }

  /** Writes the colon and space behind a name that ends at `nameEnd`. */
  colon(nameEnd: number): void {
    this.bytes[nameEnd] = COLON;
    this.bytes[nameEnd + 1] = SPACE;
  }

  /** Takes the line at `length` as a new field, looking at what its name is and whether its bytes are allowed. */
  push(nameEnd: number, valueEnd: number, flags: number): void {
    const { bytes, length } = this;
    const hash = nameHash(bytes, length, nameEnd);
    const info = classifyName(bytes, length, nameEnd, hash) | classifyValue(bytes, nameEnd + 2, valueEnd) | flags;
    this.pushClassified(nameEnd, valueEnd, hash, info);
  }

  /** As `push`, for a name that was looked at before. */
  pushClassified(nameEnd: number, valueEnd: number, hash: number, info: number): void {
    const at = this.count * STRIDE;
    if (at === this.#fields.length) this.#growFields();
    const fields = this.#fields;
    const start = this.length;
    fields[at] = start;
    fields[at + NAME_END] = nameEnd;
    fields[at + VALUE_END] = valueEnd;
    fields[at + HASH] = hash;
    fields[at + INFO] = info;
    this.bytes[valueEnd] = CR;
    this.bytes[valueEnd + 1] = LF;
    this.length = valueEnd + 2;
    this.count++;
    this.listBytes += valueEnd - start - 2 + FIELD_OVERHEAD;
  }

  /** Takes back the last field. */
  pop(): void {
    this.count--;
    const start = this.nameStart(this.count);
    this.listBytes -= this.valueEnd(this.count) - start - 2 + FIELD_OVERHEAD;
    this.length = start;
  }

  /** Writes the CR LF that ends the list. */
  finish(): void {
    this.reserve(0);
    this.bytes[this.length] = CR;
    this.bytes[this.length + 1] = LF;
  }

  #growFields(): void {
    const larger = new Int32Array(this.#fields.length * 2);
    larger.set(this.#fields);
    this.#fields = larger;
  }
}
