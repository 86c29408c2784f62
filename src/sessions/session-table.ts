/**
 * Which endpoint a session is on, for sessions that clients do not carry themselves: a table in memory shared by all
 * workers. It has a fixed size. A session may stand in the eight slots of its bucket; when they are taken, it displaces
 * the one that would have expired first.
 *
 * Nobody locks anything, so a worker that dies in the middle leaves nothing locked. A slot holds a checksum of what else
 * is in it: what two workers have written over each other, or half of what one has, does not add up, and counts as free.
 * The session it was is begun anew by its next request.
 */
import { mix32 } from "../base/hash.ts";
import type { Region } from "../base/shared-memory.ts";

const BUCKETS = 65_536;
const SLOTS_PER_BUCKET = 8;
/** Words of a slot; two are spare, so that a slot is half a cache line. */
const KEY_HIGH = 0;
const KEY_LOW = 1;
const TAG_HIGH = 2;
const TAG_LOW = 3;
const EXPIRES = 4;
const CHECKSUM = 5;
const SLOT_WORDS = 8;
const BUCKET_WORDS = SLOTS_PER_BUCKET * SLOT_WORDS;
/** 32 random bytes, made where the memory is: the secret of those who have not set one, the same in all workers. */
const SECRET_BYTES = 32;
const WORDS = BUCKETS * BUCKET_WORDS;
const TWO_TO_32 = 0x1_0000_0000;

/** Sessions that the table can hold. */
export const MAX_SESSIONS = BUCKETS * SLOTS_PER_BUCKET;

/** A session's key as 64 bits of a hash, signed words. */
export interface SessionKey {
  readonly high: number;
  readonly low: number;
}

export class SessionTable {
  /** Another one whenever the memory means something else than before: versions of evenkeel may follow each other on it. */
  static readonly LAYOUT = 1;
  /** Random when the memory was made for all workers; see SECRET_BYTES. */
  readonly secret: Uint8Array;
  readonly #words: Int32Array;
  /** The slot that was read or is to be written. */
  readonly #slot = new Int32Array(CHECKSUM + 1);

  static bytes(): number {
    return SECRET_BYTES + WORDS * 4;
  }

  constructor(region: Region) {
    this.secret = new Uint8Array(region.buffer, region.byteOffset, SECRET_BYTES);
    this.#words = new Int32Array(region.buffer, region.byteOffset + SECRET_BYTES, WORDS);
  }

  /**
   * The endpoint's tag (below 2^53), or -1 when there is no such session. One that is found lives for `ttlS` from
   * `nowS` on (seconds since 1970: all workers must have the same scale).
   */
  find(key: SessionKey, nowS: number, ttlS: number): number {
    const at = this.#find(key, nowS);
    if (at < 0) return -1;
    const slot = this.#slot;
    const tag = (slot[TAG_HIGH]! >>> 0) * TWO_TO_32 + (slot[TAG_LOW]! >>> 0);
    // Written again only now and then: reading is free for the other processors, writing is not.
    if ((slot[EXPIRES]! >>> 0) - nowS < ttlS * 0.875) this.#write(at, key, tag, nowS + ttlS);
    return tag;
  }

  /** Puts a session on an endpoint. True when a session that had not expired had to make room for it. */
  put(key: SessionKey, tag: number, nowS: number, ttlS: number): boolean {
    let at = this.#find(key, nowS);
    let displaced = false;
    if (at < 0) {
      at = this.#place(key, nowS);
      displaced = this.#isLive(at, nowS);
    }
    this.#write(at, key, tag, nowS + ttlS);
    return displaced;
  }

  /** Sessions that have not expired. For tests and tools: it looks at every slot. */
  count(nowS: number): number {
    let sessions = 0;
    for (let at = 0; at < WORDS; at += SLOT_WORDS) if (this.#isLive(at, nowS)) sessions++;
    return sessions;
  }

  /** Where the session stands, its slot read; -1 when nowhere. */
  #find(key: SessionKey, nowS: number): number {
    const start = bucketOf(key);
    for (let at = start; at < start + BUCKET_WORDS; at += SLOT_WORDS) {
      if (Atomics.load(this.#words, at) !== key.high || !this.#isLive(at, nowS)) continue;
      if (this.#slot[KEY_HIGH] === key.high && this.#slot[KEY_LOW] === key.low) return at;
    }
    return -1;
  }

  /** A free slot of its bucket, or that of the session which expires first. */
  #place(key: SessionKey, nowS: number): number {
    const start = bucketOf(key);
    let first = start;
    let firstExpiresS = Number.POSITIVE_INFINITY;
    for (let at = start; at < start + BUCKET_WORDS; at += SLOT_WORDS) {
      if (!this.#isLive(at, nowS)) return at;
      const expiresS = this.#slot[EXPIRES]! >>> 0;
      if (expiresS >= firstExpiresS) continue;
      first = at;
      firstExpiresS = expiresS;
    }
    return first;
  }

  /** Reads a slot; whether it holds a session that has not expired. What was read is judged, not what stands there since. */
  #isLive(at: number, nowS: number): boolean {
    const slot = this.#slot;
    for (let word = 0; word <= CHECKSUM; word++) slot[word] = Atomics.load(this.#words, at + word);
    return slot[CHECKSUM] === checksum(slot) && slot[EXPIRES]! >>> 0 > nowS;
  }

  #write(at: number, key: SessionKey, tag: number, expiresS: number): void {
    const slot = this.#slot;
    slot[KEY_HIGH] = key.high;
    slot[KEY_LOW] = key.low;
    slot[TAG_HIGH] = Math.floor(tag / TWO_TO_32);
    slot[TAG_LOW] = tag % TWO_TO_32;
    slot[EXPIRES] = expiresS;
    slot[CHECKSUM] = checksum(slot);
    for (let word = 0; word <= CHECKSUM; word++) Atomics.store(this.#words, at + word, slot[word]!);
  }
}

function bucketOf(key: SessionKey): number {
  return (key.low & (BUCKETS - 1)) * BUCKET_WORDS;
}

/** Never 0, so that memory that nobody has written to holds no session. */
function checksum(slot: Int32Array): number {
  let sum = 0x5e55_10a5;
  for (let word = 0; word < CHECKSUM; word++) sum = mix32(Math.imul(sum, 31) ^ slot[word]!);
  return sum | 1;
}
