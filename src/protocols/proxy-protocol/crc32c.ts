/** CRC-32C, the checksum of PROXY protocol v2 headers (polynomial of Castagnoli, RFC 4960 appendix B, bits reversed). */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** Checksum of the bytes from `start` to `end`. Pieces are chained: give the checksum of what went before as `previous`. */
export function crc32c(bytes: Uint8Array, start: number, end: number, previous = 0): number {
  let sum = ~previous;
  for (let at = start; at < end; at++) sum = (TABLE[(sum ^ (bytes[at] as number)) & 0xff] as number) ^ (sum >>> 8);
  return ~sum >>> 0;
}
