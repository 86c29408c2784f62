/** Small readers of header values, on bytes. */
import { latin1 } from "../../base/bytes.ts";
import { COLON, HOST, SPACE, TAB, TOKEN } from "./characters.ts";
import type { Head } from "./head.ts";

const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Compares a value with `wanted` (lower case), ignoring letter case. */
export function valueIs(head: Head, field: number, wanted: string): boolean {
  return sliceIs(head.bytes, head.valueStart(field), head.valueEnd(field), wanted);
}

function sliceIs(bytes: Uint8Array, start: number, end: number, wanted: string): boolean {
  if (end - start !== wanted.length) return false;
  for (let index = 0; index < wanted.length; index++) {
    const byte = bytes[start + index] as number;
    const code = wanted.charCodeAt(index);
    if (byte !== code && !(byte >= 0x41 && byte <= 0x5a && (byte | 0x20) === code)) return false;
  }
  return true;
}

/** Content-Length as RFC 9110 section 8.6 writes it: digits only. -1 for anything else, too many digits included. */
export function contentLength(head: Head, field: number): number {
  const start = head.valueStart(field);
  const end = head.valueEnd(field);
  if (end === start || end - start > 15) return -1;
  let length = 0;
  for (let cursor = start; cursor < end; cursor++) {
    const digit = (head.bytes[cursor] as number) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length;
}

/** `host`, `host:port` or `[v6]:port` in bytes that a host may have. An empty value is allowed (RFC 9112 section 3.2). */
export function isHost(bytes: Buffer, start: number, end: number): boolean {
  let colon = -1;
  for (let cursor = start; cursor < end; cursor++) {
    const byte = bytes[cursor] as number;
    if (HOST[byte] !== 1) return false;
    if (byte === OPEN_BRACKET || byte === CLOSE_BRACKET)
      return /^\[[0-9A-Fa-f:.%A-Za-z]+\](:\d{0,5})?$/.test(latin1(bytes, start, end));
    if (colon >= 0 && (byte < 0x30 || byte > 0x39)) return false;
    if (byte === COLON) colon = cursor;
  }
  return colon < 0 || end - colon <= 6;
}

/** Reads what Connection lists (RFC 9110 section 7.6.1): sets the flags, and drops the headers it names. */
export function readConnection(head: Head, field: number): boolean {
  const { bytes } = head;
  const end = head.valueEnd(field);
  let cursor = head.valueStart(field);
  while (cursor < end) {
    const byte = bytes[cursor] as number;
    if (byte === COMMA || byte === SPACE || byte === TAB) {
      cursor++;
      continue;
    }
    const start = cursor;
    while (cursor < end && TOKEN[bytes[cursor] as number] !== 0) cursor++;
    if (cursor === start) return false;
    noteConnectionOption(head, start, cursor);
    while (cursor < end && (bytes[cursor] === SPACE || bytes[cursor] === TAB)) cursor++;
    if (cursor < end && bytes[cursor] !== COMMA) return false;
  }
  return true;
}

/**
 * Headers that say how a message is framed or where it goes are never a sender's to take away. TE is a sender's, but is
 * handled on its own: `Connection: TE` must always stand beside it.
 */
const KEPT = new Set(["host", "content-length", "transfer-encoding", "connection", "close", "keep-alive", "te"]);

function noteConnectionOption(head: Head, start: number, end: number): void {
  if (sliceIs(head.bytes, start, end, "keep-alive")) head.connectionKeepAlive = true;
  else if (sliceIs(head.bytes, start, end, "close")) head.connectionClose = true;
  else if (sliceIs(head.bytes, start, end, "upgrade")) head.connectionUpgrade = true;
  else {
    // What is dropped is found by names with `_` read as `-`; so must be what is kept.
    const name = latin1(head.bytes, start, end).toLowerCase().replaceAll("_", "-");
    if (!KEPT.has(name)) head.dropNamed(name);
  }
}
