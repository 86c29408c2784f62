/** What endpoints of the chaos run answer: everything follows from the number of the request, so that nothing can be mixed up unnoticed. */

/** Larger bodies are sent in two pieces, the second a little later. */
export const PIECE_BYTES = 16_384;

/** `size` bytes that no other number has. */
export function bodyOf(number: number, size: number): Buffer {
  return Buffer.alloc(size, `<${number}>`);
}

export function checksum(bytes: Uint8Array): string {
  return Bun.hash(bytes).toString(16);
}

/** Where the number of a request and the size of its answer stand. */
export function targetOf(path: string, number: number, size: number): string {
  return `${path}?n=${number}&size=${size}`;
}

export function numberIn(target: string): number {
  return Number(/[?&]n=(\d+)/.exec(target)?.[1] ?? Number.NaN);
}

export function sizeIn(target: string): number {
  return Number(/[?&]size=(\d+)/.exec(target)?.[1] ?? 0);
}
