/** The request line (RFC 9112 section 3), then the headers. Strict: what two parsers might read differently is refused. */
import { latin1 } from "../../base/bytes.ts";
import { CR, LF, SPACE, TARGET, TOKEN } from "./characters.ts";
import { type BAD, DONE, type Head, type HeadLimits, MORE, type ParseResult, parseFields } from "./head.ts";

const MAX_METHOD = 32;
/** `HTTP/1.` as it must stand before the last digit of the version. */
const VERSION = Buffer.from("HTTP/1.");

/**
 * Parses as much of a request head as there is before `end`. MORE: call again with more bytes behind those given (in the
 * same or a longer buffer, at the same offsets). BAD: `head.error` says why, and nothing that follows may be parsed.
 */
export function parseRequestHead(head: Head, end: number, limits: HeadLimits): ParseResult {
  const result = head.mayHaveLine(end) ? parseLines(head, end, limits.fields) : head.waitForLine(end);
  if (result === MORE && end - head.start >= limits.bytes) return head.fail(tooLong(head, limits.bytes));
  if (result === DONE && head.position - head.start > limits.bytes) return head.fail(tooLong(head, limits.bytes));
  return result;
}

function tooLong(head: Head, limit: number): "E_TARGET_TOO_LONG" | "E_HEAD_TOO_LARGE" {
  // A first line that alone is over the limit is the target's doing; otherwise blame the headers.
  return head.fieldsStart === 0 || head.fieldsStart - head.start > limit ? "E_TARGET_TOO_LONG" : "E_HEAD_TOO_LARGE";
}

function parseLines(head: Head, end: number, maxFields: number): ParseResult {
  if (head.fieldsStart === 0) {
    const line = parseRequestLine(head, end);
    if (line !== DONE) return line;
  }
  return parseFields(head, end, maxFields);
}

function parseRequestLine(head: Head, end: number): ParseResult {
  const bytes = head.bytes;
  let cursor = head.position;
  if (bytes[cursor] === CR && cursor === head.start) {
    // One empty line before a request is forgiven (RFC 9112 section 2.2); `start` moves so that a second one is not.
    if (cursor + 1 >= end) return head.waitForLine(end);
    if (bytes[cursor + 1] !== LF) return head.fail("E_BAD_REQUEST_LINE");
    cursor += 2;
    head.position = cursor;
  }
  const methodStart = cursor;
  while (cursor < end && TOKEN[bytes[cursor] as number] !== 0) cursor++;
  if (cursor - methodStart > MAX_METHOD) return head.fail("E_BAD_REQUEST_LINE");
  if (cursor >= end) return head.waitForLine(end);
  if (bytes[cursor] !== SPACE || cursor === methodStart) return head.fail("E_BAD_REQUEST_LINE");
  const methodEnd = cursor++;

  const targetStart = cursor;
  while (cursor < end && TARGET[bytes[cursor] as number] === 1) cursor++;
  if (cursor >= end) return head.waitForLine(end);
  if (bytes[cursor] !== SPACE) return head.fail("E_BAD_REQUEST_LINE");
  if (cursor === targetStart) return head.fail("E_BAD_TARGET");
  const targetEnd = cursor++;

  const version = parseVersion(head, cursor, end);
  if (version !== DONE) return version;
  cursor += VERSION.length + 1;
  if (cursor >= end) return head.waitForLine(end);
  if (bytes[cursor] !== CR) return head.fail("E_BAD_REQUEST_LINE");
  if (cursor + 1 >= end) return head.waitForLine(end);
  if (bytes[cursor + 1] !== LF) return head.fail("E_BAD_REQUEST_LINE");

  head.start = methodStart;
  head.methodEnd = methodEnd;
  head.targetStart = targetStart;
  head.targetEnd = targetEnd;
  head.fieldsStart = cursor + 2;
  head.position = cursor + 2;
  return DONE;
}

function parseVersion(head: Head, start: number, end: number): ParseResult {
  const bytes = head.bytes;
  for (let index = 0; index < VERSION.length; index++) {
    if (start + index >= end) return head.waitForLine(end);
    if (bytes[start + index] !== VERSION[index]) return otherVersion(head, start, end);
  }
  if (start + VERSION.length >= end) return head.waitForLine(end);
  const digit = (bytes[start + VERSION.length] as number) - 0x30;
  if (digit < 0 || digit > 9) return head.fail("E_BAD_REQUEST_LINE");
  if (digit > 1) return head.fail("E_BAD_VERSION");
  head.minorVersion = digit;
  return DONE;
}

/** `HTTP/2.0` is a version we do not speak (505); anything else is no version at all (400). */
function otherVersion(head: Head, start: number, end: number): typeof BAD | typeof MORE {
  const line = latin1(head.bytes, start, Math.min(end, start + 9));
  if (line.length < 9 && "HTTP/".startsWith(line.slice(0, 5))) return head.waitForLine(end);
  return head.fail(/^HTTP\/\d\.\d\r$/.test(line) ? "E_BAD_VERSION" : "E_BAD_REQUEST_LINE");
}
