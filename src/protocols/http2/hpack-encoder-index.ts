/**
 * Finds entries of an encoder's dynamic table by what they hold. Entries are numbered in the order they were inserted,
 * and each bucket is a chain from newer to older ones; a number below the oldest entry's ends a chain, so that nothing
 * has to be done when entries are evicted.
 */
import type { HpackTable } from "./hpack-table.ts";

const BUCKETS = 256;
const SPREAD = 0x9e3779b1;
/** Entry numbers stay far below what 32 bits hold. No connection gets here, and one that does indexes nothing new. */
const MAX_ENTRIES = 0x3fffffff;
/** Entries of a bucket that are looked at. Whoever makes values collide costs us no more than this. */
const MAX_STEPS = 8;
/** Below this a loop is quicker than the call into native code. */
const SHORT = 24;

export class EncoderIndex {
  readonly table: HpackTable;
  /** By the hash of name and value, then by that of the name: the newest entry of each bucket. */
  readonly #pairHeads = new Int32Array(BUCKETS).fill(-1);
  readonly #nameHeads = new Int32Array(BUCKETS).fill(-1);
  #pairNext = new Int32Array(0);
  #nameNext = new Int32Array(0);
  #mask = -1;

  constructor(table: HpackTable) {
    this.table = table;
  }

  /** The newest entry with this name and value, or -1. `pairHash` must be the one it was inserted with. */
  findPair(name: Buffer, nameLength: number, value: Buffer, start: number, end: number, pairHash: number): number {
    const { table } = this;
    const oldest = table.inserted - table.count;
    let entry = this.#pairHeads[bucketOf(pairHash)] as number;
    for (let step = 0; entry >= oldest && step < MAX_STEPS; step++) {
      if (
        table.info(entry) === pairHash &&
        this.#hasName(entry, name, nameLength) &&
        this.#hasValue(entry, value, start, end)
      )
        return entry;
      entry = this.#pairNext[entry & this.#mask] as number;
    }
    return -1;
  }

  /** The newest entry with this name, or -1. */
  findName(name: Buffer, nameLength: number, nameHash: number): number {
    const { table } = this;
    const oldest = table.inserted - table.count;
    let entry = this.#nameHeads[bucketOf(nameHash)] as number;
    for (let step = 0; entry >= oldest && step < MAX_STEPS; step++) {
      if (table.hash(entry) === nameHash && this.#hasName(entry, name, nameLength)) return entry;
      entry = this.#nameNext[entry & this.#mask] as number;
    }
    return -1;
  }

  /** Inserts the line at the beginning of `line`; see HpackTable.insert. */
  insert(line: Buffer, nameLength: number, valueEnd: number, nameHash: number, pairHash: number): void {
    const { table } = this;
    const entry = table.inserted;
    if (entry === MAX_ENTRIES || !table.insert(line, 0, nameLength, valueEnd, nameHash, pairHash)) return;
    if (table.count > this.#mask) this.#growChains();
    const slot = entry & this.#mask;
    const pairBucket = bucketOf(pairHash);
    const nameBucket = bucketOf(nameHash);
    this.#pairNext[slot] = this.#pairHeads[pairBucket] as number;
    this.#nameNext[slot] = this.#nameHeads[nameBucket] as number;
    this.#pairHeads[pairBucket] = entry;
    this.#nameHeads[nameBucket] = entry;
  }

  #hasName(entry: number, name: Buffer, length: number): boolean {
    const { table } = this;
    const start = table.nameStart(entry);
    return table.nameEnd(entry) - start === length && equal(table.bytes, start, name, 0, length);
  }

  #hasValue(entry: number, value: Buffer, start: number, end: number): boolean {
    const { table } = this;
    const from = table.nameEnd(entry) + 2;
    return table.valueEnd(entry) - from === end - start && equal(table.bytes, from, value, start, end - start);
  }

  #growChains(): void {
    const slots = Math.max(16, (this.#mask + 1) * 2);
    this.#pairNext = this.#regrow(this.#pairNext, slots);
    this.#nameNext = this.#regrow(this.#nameNext, slots);
    this.#mask = slots - 1;
  }

  #regrow(chain: Int32Array, slots: number): Int32Array<ArrayBuffer> {
    const larger = new Int32Array(slots).fill(-1);
    if (chain.length === 0) return larger;
    const { table } = this;
    for (let entry = table.inserted - table.count; entry < table.inserted; entry++) {
      larger[entry & (slots - 1)] = chain[entry & this.#mask] as number;
    }
    return larger;
  }
}

function bucketOf(hash: number): number {
  return Math.imul(hash, SPREAD) >>> 24;
}

function equal(left: Buffer, leftStart: number, right: Buffer, rightStart: number, length: number): boolean {
  if (length > SHORT) return left.compare(right, rightStart, rightStart + length, leftStart, leftStart + length) === 0;
  for (let index = 0; index < length; index++) {
    if (left[leftStart + index] !== right[rightStart + index]) return false;
  }
  return true;
}
