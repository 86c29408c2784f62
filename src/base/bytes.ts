/** Bytes as text, one character per byte: what HTTP heads are made of, and safe for any input. */
export function latin1(bytes: Buffer, start: number, end: number): string {
  return bytes.toString("latin1", start, end);
}
