/**
 * The dynamic table (RFC 7541 sections 2.3.2 and 4) of a decoder or an encoder. Entries are kept as HTTP/1.1 header lines
 * in one buffer, so that a decoder takes one over with one copy. The buffer starts small: most connections need little.
 */

const STRIDE = 5;
const NAME_END = 1;
const VALUE_END = 2;
const HASH = 3;
const INFO = 4;
/** What an entry counts beside its bytes (RFC 7541 section 4.1). */
export const ENTRY_OVERHEAD = 32;
/** What a line has beside name and value: colon and space, CR and LF. */
const LINE_OVERHEAD = 4;
const INITIAL_BYTES = 512;
const INITIAL_SLOTS = 16;
const EMPTY = Buffer.alloc(0);

export class HpackTable {
  /** The bytes that the offsets of entries point into, until the next `insert`. */
  bytes: Buffer = EMPTY;
  /** Entries in the table. */
  count = 0;
  /** Sum of the entries' sizes, never above `maxBytes`. */
  size = 0;
  /** Entries ever inserted. The newest entry is number `inserted - 1`, the oldest `inserted - count`. */
  inserted = 0;
  #maxBytes: number;
  #end = 0;
  #records = new Int32Array(STRIDE * INITIAL_SLOTS);
  #mask = INITIAL_SLOTS - 1;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Sets the table's size limit and evicts what is above it (RFC 7541 section 4.3). */
  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    while (this.size > maxBytes) this.#evict();
  }

  nameStart(entry: number): number {
    return this.#records[(entry & this.#mask) * STRIDE] as number;
  }

  nameEnd(entry: number): number {
    return this.#records[(entry & this.#mask) * STRIDE + NAME_END] as number;
  }

  valueEnd(entry: number): number {
    return this.#records[(entry & this.#mask) * STRIDE + VALUE_END] as number;
  }

  hash(entry: number): number {
    return this.#records[(entry & this.#mask) * STRIDE + HASH] as number;
  }

  info(entry: number): number {
    return this.#records[(entry & this.#mask) * STRIDE + INFO] as number;
  }

  /**
   * Inserts the line at `start` of `source`, whose value begins two bytes behind `nameEnd`, after evicting what it takes.
   * False when the entry is larger than the table, which empties it (RFC 7541 section 4.4).
   */
  insert(source: Buffer, start: number, nameEnd: number, valueEnd: number, hash: number, info: number): boolean {
    const size = valueEnd - 2 - start + ENTRY_OVERHEAD;
    while (this.count > 0 && this.size + size > this.#maxBytes) this.#evict();
    if (size > this.#maxBytes) return false;
    const lineBytes = valueEnd - start + 2;
    if (this.#end + lineBytes > this.bytes.length) this.#makeRoom(lineBytes);
    if (this.count > this.#mask) this.#growRecords();

    const at = (this.inserted & this.#mask) * STRIDE;
    const records = this.#records;
    const shift = this.#end - start;
    records[at] = this.#end;
    records[at + NAME_END] = nameEnd + shift;
    records[at + VALUE_END] = valueEnd + shift;
    records[at + HASH] = hash;
    records[at + INFO] = info;
    source.copy(this.bytes, this.#end, start, valueEnd + 2);
    this.#end += lineBytes;
    this.inserted++;
    this.count++;
    this.size += size;
    return true;
  }

  #evict(): void {
    const oldest = this.inserted - this.count;
    this.size -= this.valueEnd(oldest) - 2 - this.nameStart(oldest) + ENTRY_OVERHEAD;
    this.count--;
    if (this.count === 0) this.#end = 0;
  }

  /**
   * Moves the entries to the beginning, of a larger buffer while that helps. As the largest has room for twice what the
   * table may hold, moving is as rare as replacing the whole table.
   */
  #makeRoom(lineBytes: number): void {
    const oldest = this.inserted - this.count;
    const from = this.count === 0 ? this.#end : this.nameStart(oldest);
    const live = this.#end - from;
    const largest = 2 * this.#maxBytes + LINE_OVERHEAD;
    let capacity = Math.max(this.bytes.length, INITIAL_BYTES);
    while (capacity < 2 * (live + lineBytes) && capacity < largest) capacity *= 2;
    if (capacity > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(capacity);
      this.bytes.copy(larger, 0, from, this.#end);
      this.bytes = larger;
    } else {
      this.bytes.copyWithin(0, from, this.#end);
    }
    this.#end = live;
    const records = this.#records;
    for (let entry = oldest; entry < this.inserted; entry++) {
      const at = (entry & this.#mask) * STRIDE;
      records[at] = (records[at] as number) - from;
      records[at + NAME_END] = (records[at + NAME_END] as number) - from;
      records[at + VALUE_END] = (records[at + VALUE_END] as number) - from;
    }
  }

  #growRecords(): void {
    const slots = (this.#mask + 1) * 2;
    const larger = new Int32Array(STRIDE * slots);
    for (let entry = this.inserted - this.count; entry < this.inserted; entry++) {
      const from = (entry & this.#mask) * STRIDE;
      larger.set(this.#records.subarray(from, from + STRIDE), (entry & (slots - 1)) * STRIDE);
    }
    this.#records = larger;
    this.#mask = slots - 1;
  }
}
