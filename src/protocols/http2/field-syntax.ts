/** What single values must look like, on bytes. */
import { COLON, SLASH, TARGET, TOKEN } from "../http1/characters.ts";
import { isHost } from "../http1/field-values.ts";
import { same } from "./field-names.ts";

const ASTERISK = 0x2a;
/** This many digits stay exact in a double. */
const MAX_LENGTH_DIGITS = 15;
const HTTP = Buffer.from("http");
const HTTPS = Buffer.from("https");

/** Content-Length (RFC 9110 section 8.6): digits only. -1 for anything else, too many digits included. */
export function contentLength(bytes: Uint8Array, start: number, end: number): number {
  if (end === start || end - start > MAX_LENGTH_DIGITS) return -1;
  let length = 0;
  for (let cursor = start; cursor < end; cursor++) {
    const digit = (bytes[cursor] as number) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length;
}

/** Three digits from 100 to 599 (RFC 9110 section 15); 0 for anything else. */
export function statusCode(bytes: Uint8Array, start: number, end: number): number {
  if (end - start !== 3) return 0;
  const hundreds = (bytes[start] as number) - 0x30;
  const tens = (bytes[start + 1] as number) - 0x30;
  const ones = (bytes[start + 2] as number) - 0x30;
  if (hundreds < 1 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return 0;
  return hundreds * 100 + tens * 10 + ones;
}

/** A token (RFC 9110 section 5.6.2), as methods and protocols are. */
export function isToken(bytes: Uint8Array, start: number, end: number): boolean {
  for (let cursor = start; cursor < end; cursor++) {
    if (TOKEN[bytes[cursor] as number] === 0) return false;
  }
  return end > start;
}

/** `http` or `https`, in lower case: nothing else is proxied. */
export function isScheme(bytes: Uint8Array, start: number, end: number): boolean {
  return same(bytes, start, end, HTTPS) || same(bytes, start, end, HTTP);
}

/** A host, perhaps with a port, never empty and without user information (RFC 9113 section 8.3.1). */
export function isAuthority(bytes: Buffer, start: number, end: number): boolean {
  return end > start && bytes[start] !== COLON && isHost(bytes, start, end);
}

/** A path that begins with a slash, or `*` when `asterisk` (OPTIONS). */
export function isPath(bytes: Uint8Array, start: number, end: number, asterisk: boolean): boolean {
  if (end === start) return false;
  if (bytes[start] !== SLASH) return asterisk && end - start === 1 && bytes[start] === ASTERISK;
  for (let cursor = start + 1; cursor < end; cursor++) {
    if (TARGET[bytes[cursor] as number] === 0) return false;
  }
  return true;
}

/** Whether two ranges are the same but for the case of letters. */
export function sameIgnoringCase(bytes: Uint8Array, start: number, end: number, from: number, to: number): boolean {
  if (end - start !== to - from) return false;
  for (let offset = 0; offset < end - start; offset++) {
    if (lower(bytes[start + offset] as number) !== lower(bytes[from + offset] as number)) return false;
  }
  return true;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
