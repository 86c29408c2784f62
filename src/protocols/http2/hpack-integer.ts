/** Integers with a prefix (RFC 7541 section 5.1). */

/** Largest integer that is understood. Nothing that a field block can say is anywhere near it. */
export const MAX_INTEGER = 0x0fffffff;
/** Most bytes that `writeInteger` writes. */
export const INTEGER_BYTES = 6;

const MAX_CONTINUATION_BYTES = 4;
const LENGTH_BITS = 3;
const LENGTH_MASK = 7;

/**
 * Reads the integer at `position`, whose prefix are the bits of `mask`. The value and the number of bytes it took come
 * packed in one number, to be taken apart by `integerValue` and `integerLength`: two results without an object.
 * -1 when the integer is cut off by `end`, too large, or longer than any integer has to be.
 */
export function readInteger(bytes: Uint8Array, position: number, end: number, mask: number): number {
  if (position >= end) return -1;
  let value = (bytes[position] as number) & mask;
  if (value < mask) return (value << LENGTH_BITS) | 1;
  let scale = 1;
  for (let length = 1; length <= MAX_CONTINUATION_BYTES; length++) {
    if (position + length >= end) return -1;
    const byte = bytes[position + length] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value > MAX_INTEGER ? -1 : value * (1 << LENGTH_BITS) + length + 1;
    scale *= 128;
  }
  return -1;
}

/** The value of what `readInteger` returned. */
export function integerValue(packed: number): number {
  return packed >>> LENGTH_BITS;
}

/** How many bytes the integer took, of what `readInteger` returned. */
export function integerLength(packed: number): number {
  return packed & LENGTH_MASK;
}

/** Writes `value` with the prefix `mask`, the bits above the prefix being `pattern`. Returns where it ends. */
export function writeInteger(target: Uint8Array, at: number, value: number, mask: number, pattern: number): number {
  if (value < mask) {
    target[at] = pattern | value;
    return at + 1;
  }
  target[at] = pattern | mask;
  let cursor = at + 1;
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) target[cursor++] = (rest & 0x7f) | 0x80;
  target[cursor++] = rest;
  return cursor;
}
