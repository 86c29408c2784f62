/** 32-bit hashes for keys and identities. Not for secrets: who can choose keys can make them collide. */

const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

/** xxHash32 of a text's characters, one byte each (the same as `hashBytes` of its Latin-1 bytes). */
export function hashString(text: string, seed = 0): number {
  return hash(text.length, seed, (index) => text.charCodeAt(index) & 0xff);
}

/** xxHash32 of the bytes from `start` to `end`. */
export function hashBytes(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  return hash(end - start, seed, (index) => bytes[start + index] as number);
}

/** Spreads a number's bits over the whole 32 (the finalizer of MurmurHash3). */
export function mix32(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function hash(length: number, seed: number, byteAt: (index: number) => number): number {
  const word = (at: number): number =>
    byteAt(at) | (byteAt(at + 1) << 8) | (byteAt(at + 2) << 16) | (byteAt(at + 3) << 24);
  let at = 0;
  let sum: number;
  if (length >= 16) {
    let a = (seed + PRIME_1 + PRIME_2) | 0;
    let b = (seed + PRIME_2) | 0;
    let c = seed | 0;
    let d = (seed - PRIME_1) | 0;
    for (; at <= length - 16; at += 16) {
      a = round(a, word(at));
      b = round(b, word(at + 4));
      c = round(c, word(at + 8));
      d = round(d, word(at + 12));
    }
    sum = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0;
  } else sum = (seed + PRIME_5) | 0;
  sum = (sum + length) | 0;
  for (; at <= length - 4; at += 4) sum = Math.imul(rotate((sum + Math.imul(word(at), PRIME_3)) | 0, 17), PRIME_4);
  for (; at < length; at++) sum = Math.imul(rotate((sum + Math.imul(byteAt(at), PRIME_5)) | 0, 11), PRIME_1);
  sum = Math.imul(sum ^ (sum >>> 15), PRIME_2);
  sum = Math.imul(sum ^ (sum >>> 13), PRIME_3);
  return (sum ^ (sum >>> 16)) >>> 0;
}

function round(lane: number, input: number): number {
  return Math.imul(rotate((lane + Math.imul(input, PRIME_2)) | 0, 13), PRIME_1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
