/**
 * Encodes field blocks (RFC 7541 section 6) straight into the buffer they are sent from. Names may come in any case and
 * leave in lower case (RFC 9113 section 8.2), so that the lines of an HTTP/1.1 head can be given as they are.
 */

import { TOKEN } from "../http1/characters.ts";
import type { ByteSink } from "./byte-sink.ts";
import { copyBytes } from "./copy-bytes.ts";
import { EncoderIndex } from "./hpack-encoder-index.ts";
import { INTEGER_BYTES, writeInteger } from "./hpack-integer.ts";
import {
  findKnown,
  INDEX,
  knownOfStatic,
  NEVER,
  NEVER_WHEN_SHORT,
  policyOf,
  staticEntriesOf,
  staticIndexOf,
} from "./hpack-known-names.ts";
import { STATIC_COUNT, STATIC_NAME, STATIC_TABLE } from "./hpack-static-table.ts";
import { ENTRY_OVERHEAD, HpackTable } from "./hpack-table.ts";
import { encodeHuffman, huffmanLength } from "./huffman.ts";

/** The size both sides begin with (RFC 9113 section 6.5.2), and the most that this encoder uses. */
export const DEFAULT_TABLE_BYTES = 4_096;
/** Cookies below this are never indexed: few enough guesses would find them (RFC 7541 section 7.1.3). */
const SHORT_SECRET_BYTES = 20;
const INDEXED = 0x80;
const INDEXING = 0x40;
const NEVER_INDEXED = 0x10;
const WITHOUT_INDEXING = 0x00;
const SIZE_UPDATE = 0x20;
const HUFFMAN = 0x80;
const INITIAL_SCRATCH = 256;
/** Entries that take more than this share of the table are not worth what they push out. */
const LARGEST_SHARE = 2;
/** Bytes that are hashed at each end of a long value. */
const HASHED_END = 16;
const LOWER = lowerTable();

export class HpackEncoder {
  readonly #index: EncoderIndex;
  readonly #ownLimit: number;
  /** Table sizes still to be told to the peer: the smallest since the last block, and the last. -1 for none. */
  #smallestSize = -1;
  #finalSize = -1;
  /** The name of the field at hand, in lower case. */
  #scratch: Buffer = Buffer.allocUnsafeSlow(INITIAL_SCRATCH);
  #nameLength = 0;
  #nameHash = 0;
  readonly #digits: Buffer = Buffer.allocUnsafeSlow(3);

  /** `tableBytes`: the most the dynamic table may take, whatever the peer allows. */
  constructor(tableBytes: number = DEFAULT_TABLE_BYTES) {
    this.#ownLimit = tableBytes;
    this.#index = new EncoderIndex(new HpackTable(Math.min(tableBytes, DEFAULT_TABLE_BYTES)));
    if (tableBytes < DEFAULT_TABLE_BYTES) this.#finalSize = this.#smallestSize = tableBytes;
  }

  /** Bytes that the dynamic table counts now. */
  get tableBytes(): number {
    return this.#index.table.size;
  }

  /** To be called with the peer's SETTINGS_HEADER_TABLE_SIZE; the next block tells the change (RFC 7541 section 4.2). */
  setPeerTableLimit(bytes: number): void {
    const size = Math.min(bytes, this.#ownLimit);
    if (size === this.#index.table.maxBytes && this.#finalSize < 0) return;
    this.#index.table.resize(size);
    this.#smallestSize = this.#smallestSize < 0 ? size : Math.min(this.#smallestSize, size);
    this.#finalSize = size;
  }

  /** Begins a block. Every block must begin with this, as changes of the table's size can stand nowhere else. */
  begin(sink: ByteSink): void {
    if (this.#finalSize < 0) return;
    if (this.#smallestSize < this.#finalSize) this.#integer(sink, this.#smallestSize, 0x1f, SIZE_UPDATE);
    this.#integer(sink, this.#finalSize, 0x1f, SIZE_UPDATE);
    this.#smallestSize = -1;
    this.#finalSize = -1;
  }

  /**
   * Writes the field whose name and value stand in `bytes`. `neverIndex` when it came to us never indexed (RFC 7541
   * section 6.2.3), or must not be indexed for a reason that its name does not tell.
   */
  field(
    sink: ByteSink,
    bytes: Buffer,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    neverIndex = false,
  ): void {
    const length = nameEnd - nameStart;
    if (length > this.#scratch.length) this.#growScratch(length);
    const scratch = this.#scratch;
    let hash = 0;
    for (let index = 0; index < length; index++) {
      const byte = bytes[nameStart + index] as number;
      scratch[index] = LOWER[byte] as number;
      hash = (Math.imul(hash, 31) + (TOKEN[byte] as number)) | 0;
    }
    this.#nameLength = length;
    this.#nameHash = hash;
    this.#encode(sink, findKnown(scratch, 0, length, hash), bytes, valueStart, valueEnd, neverIndex);
  }

  /** Writes a field whose name is that of a static entry, usually one of STATIC_NAME. */
  named(sink: ByteSink, staticIndex: number, bytes: Buffer, valueStart: number, valueEnd: number): void {
    const start = STATIC_TABLE.nameStart(staticIndex - 1);
    const end = STATIC_TABLE.nameEnd(staticIndex - 1);
    copyBytes(STATIC_TABLE.bytes, start, end, this.#scratch, 0);
    this.#nameLength = end - start;
    this.#nameHash = STATIC_TABLE.hash(staticIndex - 1);
    this.#encode(sink, knownOfStatic(staticIndex), bytes, valueStart, valueEnd, false);
  }

  /** Writes `:status`: three digits. */
  status(sink: ByteSink, status: number): void {
    const digits = this.#digits;
    digits[0] = 0x30 + ((status / 100) | 0);
    digits[1] = 0x30 + (((status / 10) | 0) % 10);
    digits[2] = 0x30 + (status % 10);
    this.named(sink, STATIC_NAME.status, digits, 0, 3);
  }

  /** Writes a field given as text whose characters are all below 0x100. For the few that are made here. */
  text(sink: ByteSink, name: string, value: string, neverIndex = false): void {
    const bytes = Buffer.from(name + value, "latin1");
    this.field(sink, bytes, 0, name.length, name.length, bytes.length, neverIndex);
  }

  /** Encodes the field whose name is in the scratch. */
  #encode(sink: ByteSink, known: number, bytes: Buffer, start: number, end: number, neverIndex: boolean): void {
    let policy = neverIndex ? NEVER : policyOf(known);
    if (policy === NEVER_WHEN_SHORT) policy = end - start < SHORT_SECRET_BYTES ? NEVER : INDEX;
    const staticIndex = staticIndexOf(known);
    if (policy === NEVER) {
      this.#literal(sink, staticIndex, 0x0f, NEVER_INDEXED, bytes, start, end);
      return;
    }
    for (let index = staticIndex; index < staticIndex + staticEntriesOf(known); index++) {
      if (!hasStaticValue(index, bytes, start, end)) continue;
      this.#integer(sink, index, 0x7f, INDEXED);
      return;
    }
    const entryBytes = this.#nameLength + end - start + ENTRY_OVERHEAD;
    if (policy !== INDEX || entryBytes * LARGEST_SHARE > this.#index.table.maxBytes) {
      this.#literal(sink, staticIndex, 0x0f, WITHOUT_INDEXING, bytes, start, end);
      return;
    }
    this.#encodeIndexing(sink, staticIndex, bytes, start, end);
  }

  #encodeIndexing(sink: ByteSink, staticIndex: number, bytes: Buffer, start: number, end: number): void {
    const pairHash = hashPair(this.#nameHash, bytes, start, end);
    const entry = this.#index.findPair(this.#scratch, this.#nameLength, bytes, start, end, pairHash);
    if (entry >= 0) {
      this.#integer(sink, this.#indexOf(entry), 0x7f, INDEXED);
      return;
    }
    this.#literal(sink, staticIndex, 0x3f, INDEXING, bytes, start, end);
    this.#insert(bytes, start, end, pairHash);
  }

  /** Writes a literal field, its name by index when a table has it. */
  #literal(
    sink: ByteSink,
    staticIndex: number,
    mask: number,
    pattern: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    let nameIndex = staticIndex;
    if (nameIndex === 0) {
      const entry = this.#index.findName(this.#scratch, this.#nameLength, this.#nameHash);
      if (entry >= 0) nameIndex = this.#indexOf(entry);
    }
    this.#integer(sink, nameIndex, mask, pattern);
    if (nameIndex === 0) this.#string(sink, this.#scratch, 0, this.#nameLength);
    this.#string(sink, bytes, start, end);
  }

  #indexOf(entry: number): number {
    return STATIC_COUNT + this.#index.table.inserted - entry;
  }

  #insert(bytes: Buffer, start: number, end: number, pairHash: number): void {
    const nameEnd = this.#nameLength;
    const valueEnd = nameEnd + 2 + end - start;
    if (valueEnd + 2 > this.#scratch.length) this.#growScratch(valueEnd + 2);
    copyBytes(bytes, start, end, this.#scratch, nameEnd + 2);
    this.#index.insert(this.#scratch, nameEnd, valueEnd, this.#nameHash, pairHash);
  }

  #integer(sink: ByteSink, value: number, mask: number, pattern: number): void {
    sink.reserve(INTEGER_BYTES);
    sink.length = writeInteger(sink.bytes, sink.length, value, mask, pattern);
  }

  /** Writes a string literal, in Huffman code when that is shorter (RFC 7541 section 5.2). */
  #string(sink: ByteSink, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    const coded = huffmanLength(bytes, start, end);
    sink.reserve(INTEGER_BYTES + Math.min(coded, length));
    if (coded < length) {
      const at = writeInteger(sink.bytes, sink.length, coded, 0x7f, HUFFMAN);
      sink.length = encodeHuffman(bytes, start, end, sink.bytes, at);
      return;
    }
    const at = writeInteger(sink.bytes, sink.length, length, 0x7f, 0);
    copyBytes(bytes, start, end, sink.bytes, at);
    sink.length = at + length;
  }

  /** Keeps the name that is in the scratch. */
  #growScratch(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(bytes, this.#scratch.length * 2));
    this.#scratch.copy(larger);
    this.#scratch = larger;
  }
}

/**
 * Hash of a name and a value. Of long values only the ends are read: what is found is compared in full anyway, and how
 * many values with the same hash are compared has a bound.
 */
function hashPair(nameHash: number, bytes: Buffer, start: number, end: number): number {
  const long = end - start > 2 * HASHED_END;
  let hash = nameHash ^ (end - start);
  for (let cursor = start; cursor < (long ? start + HASHED_END : end); cursor++) {
    hash = (Math.imul(hash, 31) + (bytes[cursor] as number)) | 0;
  }
  if (!long) return hash;
  for (let cursor = end - HASHED_END; cursor < end; cursor++) {
    hash = (Math.imul(hash, 31) + (bytes[cursor] as number)) | 0;
  }
  return hash;
}

function hasStaticValue(index: number, bytes: Buffer, start: number, end: number): boolean {
  const from = STATIC_TABLE.valueStart(index - 1);
  if (STATIC_TABLE.valueEnd(index - 1) - from !== end - start) return false;
  for (let offset = 0; offset < end - start; offset++) {
    if (STATIC_TABLE.bytes[from + offset] !== bytes[start + offset]) return false;
  }
  return true;
}

function lowerTable(): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte));
}
