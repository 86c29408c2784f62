/** The status line (RFC 9112 section 4), then the headers; as strict as for requests. */
import { CR, LF, SPACE, VALUE } from "./characters.ts";
import { DONE, type Head, type HeadLimits, MORE, type ParseResult, parseFields } from "./head.ts";

const VERSION = Buffer.from("HTTP/1.");

/** Parses as much of a response head as there is before `end`; see parseRequestHead. */
export function parseResponseHead(head: Head, end: number, limits: HeadLimits): ParseResult {
  const result = head.mayHaveLine(end) ? parseLines(head, end, limits.fields) : head.waitForLine(end);
  const length = result === MORE ? end - head.start + 1 : head.position - head.start;
  if (length > limits.bytes) return head.fail("E_RESPONSE_HEAD_TOO_LARGE");
  return result;
}

function parseLines(head: Head, end: number, maxFields: number): ParseResult {
  if (head.fieldsStart === 0) {
    const line = parseStatusLine(head, end);
    if (line !== DONE) return line;
  }
  const fields = parseFields(head, end, maxFields);
  if (fields < 0) head.error = head.error === "E_HEAD_TOO_LARGE" ? "E_RESPONSE_HEAD_TOO_LARGE" : "E_BAD_RESPONSE";
  return fields;
}

function parseStatusLine(head: Head, end: number): ParseResult {
  const bytes = head.bytes;
  const start = head.position;
  for (let index = 0; index < VERSION.length; index++) {
    if (start + index >= end) return head.waitForLine(end);
    if (bytes[start + index] !== VERSION[index]) return head.fail("E_BAD_RESPONSE");
  }
  // "HTTP/1.x NNN" and the byte after it: 13 bytes that must be there before anything can be said.
  if (start + 12 >= end)
    return bytes.subarray(start, end).includes(LF) ? head.fail("E_BAD_RESPONSE") : head.waitForLine(end);
  const minor = (bytes[start + 7] as number) - 0x30;
  const status = statusCode(bytes, start + 9);
  if ((minor !== 0 && minor !== 1) || bytes[start + 8] !== SPACE || status < 100) return head.fail("E_BAD_RESPONSE");

  let cursor = start + 12;
  // The space before an empty reason phrase is often left out.
  if (bytes[cursor] !== SPACE && bytes[cursor] !== CR) return head.fail("E_BAD_RESPONSE");
  while (cursor < end && VALUE[bytes[cursor] as number] === 1) cursor++;
  if (cursor >= end) return head.waitForLine(end);
  if (bytes[cursor] !== CR) return head.fail("E_BAD_RESPONSE");
  if (cursor + 1 >= end) return head.waitForLine(end);
  if (bytes[cursor + 1] !== LF) return head.fail("E_BAD_RESPONSE");

  head.minorVersion = minor;
  head.status = status;
  head.methodEnd = start + 8;
  head.targetStart = start + 9;
  head.targetEnd = start + 12;
  head.fieldsStart = cursor + 2;
  head.position = cursor + 2;
  return DONE;
}

/** Three digits from 100 to 599; 0 for anything else. */
function statusCode(bytes: Uint8Array, at: number): number {
  const hundreds = (bytes[at] as number) - 0x30;
  const tens = (bytes[at + 1] as number) - 0x30;
  const ones = (bytes[at + 2] as number) - 0x30;
  if (hundreds < 1 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return 0;
  return hundreds * 100 + tens * 10 + ones;
}
