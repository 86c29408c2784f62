/**
 * Decodes field blocks (RFC 7541 sections 3 and 6) into a HeaderList. Fields are classified when they enter the dynamic
 * table, not each time they are taken from it. What breaks the rules of HPACK ends the decoder: both sides' tables can
 * no longer be the same, so the connection must end with COMPRESSION_ERROR.
 */
import { copyBytes } from "./copy-bytes.ts";
import { BAD_NAME, classifyValue, ID_MASK, NEVER_INDEXED } from "./field-names.ts";
import type { HeaderList } from "./header-list.ts";
import { integerLength, integerValue, readInteger } from "./hpack-integer.ts";
import { STATIC_COUNT, STATIC_TABLE } from "./hpack-static-table.ts";
import { ENTRY_OVERHEAD, HpackTable } from "./hpack-table.ts";
import { decodeHuffman, huffmanDecodedBound } from "./huffman.ts";

/** The whole block is in the list. */
export const DECODED = 0;
/** The block is fine, and the tables are as they must be, but its fields are beyond the limits: the list is not complete. */
export const TOO_LARGE = 1;
/** The connection must end with COMPRESSION_ERROR; `problem` says why. */
export const COMPRESSION_FAILED = -1;
export type DecodeResult = typeof DECODED | typeof TOO_LARGE | typeof COMPRESSION_FAILED;

export type CompressionProblem =
  | "an integer is cut off or too large"
  | "a string is longer than the block"
  | "a string is not valid Huffman code"
  | "an index is beyond the tables"
  | "a table size update is not at the beginning of a block"
  | "a table size update is above the limit"
  | "a table size update is missing";

export interface DecoderLimits {
  /**
   * The size the dynamic table begins with: 4,096 on every connection, whatever our SETTINGS say. Another
   * SETTINGS_HEADER_TABLE_SIZE counts from its acknowledgement on: see setTableLimit.
   */
  readonly tableBytes: number;
  /** Bytes of names and values, and 32 for each field, as in SETTINGS_MAX_HEADER_LIST_SIZE. */
  readonly listBytes: number;
  readonly fields: number;
}

/** RFC 7541 section 4.2: the smallest and the last size between two blocks. */
const MAX_SIZE_UPDATES = 2;
const INDEXED_MASK = 0x7f;
const INDEXING_MASK = 0x3f;
const PLAIN_MASK = 0x0f;
const SIZE_MASK = 0x1f;
const STRING_MASK = 0x7f;
const NEVER_INDEXED_BIT = 0x10;
const HUFFMAN_BIT = 0x80;

export class HpackDecoder {
  /** Why decoding came to COMPRESSION_FAILED. From then on the decoder refuses everything. */
  problem: CompressionProblem | undefined;
  readonly #table: HpackTable;
  readonly #listBytes: number;
  readonly #fields: number;
  #tableLimit: number;
  #mustShrink = false;
  #tooLarge = false;
  /** Where the string that was read last ends in the block. */
  #position = 0;
  /** Of the name that was copied last. */
  #nameHash = 0;
  #nameInfo = 0;

  constructor(limits: DecoderLimits) {
    this.#table = new HpackTable(limits.tableBytes);
    this.#tableLimit = limits.tableBytes;
    this.#listBytes = limits.listBytes;
    this.#fields = limits.fields;
  }

  /** Bytes that the dynamic table counts now. */
  get tableBytes(): number {
    return this.#table.size;
  }

  /** To be called when the peer has acknowledged a new SETTINGS_HEADER_TABLE_SIZE (RFC 9113 section 4.3.1). */
  setTableLimit(bytes: number): void {
    this.#tableLimit = bytes;
    if (bytes < this.#table.maxBytes) this.#mustShrink = true;
  }

  /**
   * Decodes the whole block at `start`..`end` into `list`, which is cleared first. Also blocks of streams that are of no
   * interest any more must be decoded, for the table's sake.
   */
  decode(block: Buffer, start: number, end: number, list: HeaderList): DecodeResult {
    list.clear();
    if (this.problem !== undefined) return COMPRESSION_FAILED;
    this.#tooLarge = false;
    let position = this.#sizeUpdates(block, start, end);
    while (position >= 0 && position < end) {
      const byte = block[position] as number;
      if (byte >= 0x80) position = this.#indexed(block, position, end, list);
      else if (byte >= 0x40) position = this.#literal(block, position, end, list, INDEXING_MASK);
      else if (byte >= 0x20) position = this.#fail("a table size update is not at the beginning of a block");
      else position = this.#literal(block, position, end, list, PLAIN_MASK);
    }
    if (position < 0) return COMPRESSION_FAILED;
    list.finish();
    return this.#tooLarge ? TOO_LARGE : DECODED;
  }

  #fail(problem: CompressionProblem): -1 {
    this.problem = problem;
    return -1;
  }

  #sizeUpdates(block: Buffer, start: number, end: number): number {
    let position = start;
    for (let updates = 0; position < end; updates++) {
      if (((block[position] as number) & 0xe0) !== 0x20) break;
      if (updates === MAX_SIZE_UPDATES) return this.#fail("a table size update is not at the beginning of a block");
      const packed = readInteger(block, position, end, SIZE_MASK);
      if (packed < 0) return this.#fail("an integer is cut off or too large");
      const bytes = integerValue(packed);
      if (bytes > this.#tableLimit) return this.#fail("a table size update is above the limit");
      this.#table.resize(bytes);
      this.#mustShrink = false;
      position += integerLength(packed);
    }
    if (this.#mustShrink) return this.#fail("a table size update is missing");
    return position;
  }

  #indexed(block: Buffer, position: number, end: number, list: HeaderList): number {
    let index = (block[position] as number) & INDEXED_MASK;
    let next = position + 1;
    if (index === INDEXED_MASK) {
      const packed = readInteger(block, position, end, INDEXED_MASK);
      if (packed < 0) return this.#fail("an integer is cut off or too large");
      index = integerValue(packed);
      next = position + integerLength(packed);
    }
    if (index === 0 || index > STATIC_COUNT + this.#table.count) return this.#fail("an index is beyond the tables");
    if (index <= STATIC_COUNT) this.#take(STATIC_TABLE, index - 1, list);
    else this.#take(this.#table, this.#table.inserted - (index - STATIC_COUNT), list);
    return next;
  }

  #take(table: HeaderList | HpackTable, entry: number, list: HeaderList): void {
    const start = table.nameStart(entry);
    const valueEnd = table.valueEnd(entry);
    if (!this.#mayAdd(valueEnd - start - 2, list)) return;
    list.reserve(valueEnd - start);
    const shift = list.length - start;
    copyBytes(table.bytes, start, valueEnd, list.bytes, list.length);
    list.pushClassified(table.nameEnd(entry) + shift, valueEnd + shift, table.hash(entry), table.info(entry));
  }

  /** A literal field (RFC 7541 section 6.2): inserted in the table with INDEXING_MASK, else not. */
  #literal(block: Buffer, position: number, end: number, list: HeaderList, mask: number): number {
    const packed = readInteger(block, position, end, mask);
    if (packed < 0) return this.#fail("an integer is cut off or too large");
    const index = integerValue(packed);
    if (index > STATIC_COUNT + this.#table.count) return this.#fail("an index is beyond the tables");
    const indexing = mask === INDEXING_MASK;
    const flags = !indexing && ((block[position] as number) & NEVER_INDEXED_BIT) !== 0 ? NEVER_INDEXED : 0;

    this.#position = position + integerLength(packed);
    const nameEnd = index === 0 ? this.#string(block, end, list, list.length) : this.#copyName(index, list);
    if (nameEnd < 0) return -1;
    const valueEnd = this.#string(block, end, list, nameEnd + 2);
    if (valueEnd < 0) return -1;
    list.colon(nameEnd);
    if (index === 0) list.push(nameEnd, valueEnd, flags);
    else {
      const info = this.#nameInfo | classifyValue(list.bytes, nameEnd + 2, valueEnd) | flags;
      list.pushClassified(nameEnd, valueEnd, this.#nameHash, info);
    }
    this.#added(list, indexing);
    return this.#position;
  }

  /** Copies the name that an index stands for to the end of the list; returns where it ends there. */
  #copyName(index: number, list: HeaderList): number {
    const inStatic = index <= STATIC_COUNT;
    const table = inStatic ? STATIC_TABLE : this.#table;
    const entry = inStatic ? index - 1 : this.#table.inserted - (index - STATIC_COUNT);
    const start = table.nameStart(entry);
    const end = table.nameEnd(entry);
    this.#nameHash = table.hash(entry);
    this.#nameInfo = table.info(entry) & (ID_MASK | BAD_NAME);
    list.reserve(end - start);
    copyBytes(table.bytes, start, end, list.bytes, list.length);
    return list.length + end - start;
  }

  /** Decodes the string literal at `#position` to `at` in the list's bytes; returns where it ends there (section 5.2). */
  #string(block: Buffer, end: number, list: HeaderList, at: number): number {
    const packed = readInteger(block, this.#position, end, STRING_MASK);
    if (packed < 0) return this.#fail("an integer is cut off or too large");
    const length = integerValue(packed);
    const start = this.#position + integerLength(packed);
    if (length > end - start) return this.#fail("a string is longer than the block");
    const coded = ((block[this.#position] as number) & HUFFMAN_BIT) !== 0;
    this.#position = start + length;
    list.reserve(at - list.length + (coded ? huffmanDecodedBound(length) : length));
    if (!coded) {
      copyBytes(block, start, start + length, list.bytes, at);
      return at + length;
    }
    const stringEnd = decodeHuffman(block, start, start + length, list.bytes, at);
    return stringEnd < 0 ? this.#fail("a string is not valid Huffman code") : stringEnd;
  }

  /** What follows when a literal field is in the list: the table gets it, but the list only within its limits. */
  #added(list: HeaderList, indexing: boolean): void {
    const field = list.count - 1;
    if (indexing) {
      const start = list.nameStart(field);
      this.#table.insert(
        list.bytes,
        start,
        list.nameEnd(field),
        list.valueEnd(field),
        list.hash(field),
        list.info(field),
      );
    }
    if (this.#tooLarge || list.count > this.#fields || list.listBytes > this.#listBytes) {
      this.#tooLarge = true;
      list.pop();
    }
  }

  /** Whether an indexed field is within the limits. Beyond them it costs nothing: no copy is made. */
  #mayAdd(bytes: number, list: HeaderList): boolean {
    if (this.#tooLarge) return false;
    this.#tooLarge = list.count >= this.#fields || list.listBytes + bytes + ENTRY_OVERHEAD > this.#listBytes;
    return !this.#tooLarge;
  }
}
