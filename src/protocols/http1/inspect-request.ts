/** What the headers of a parsed request mean: host, framing of the body, connection. Refuses what is not clear. */
import { latin1 } from "../../base/bytes.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { SLASH } from "./characters.ts";
import { contentLength, isHost, readConnection, valueIs } from "./field-values.ts";
import type { Head } from "./head.ts";
import { ALIAS, HEADER } from "./header-names.ts";

const CAPITAL_C = 0x43;

/** Fills in the meaning of a complete request head. The code of what is wrong, or undefined. */
export function inspectRequest(head: Head): ErrorCode | undefined {
  let hosts = 0;
  for (let field = 0; field < head.fieldCount; field++) {
    const id = head.id(field);
    if (id === HEADER.other) continue;
    if ((id & ALIAS) !== 0) {
      head.drop(field);
      continue;
    }
    if (id === HEADER.host) {
      hosts++;
      head.hostField = field;
      if (!isHost(head.bytes, head.valueStart(field), head.valueEnd(field))) return "E_BAD_HOST";
      continue;
    }
    const problem = inspectField(head, field, id);
    if (problem !== undefined) return problem;
  }
  if (hosts > 1 || (hosts === 0 && head.minorVersion === 1)) return "E_BAD_HOST";
  if (head.chunked && (head.contentLength >= 0 || head.minorVersion === 0)) return "E_BAD_LENGTH";
  return undefined;
}

function inspectField(head: Head, field: number, id: number): ErrorCode | undefined {
  switch (id) {
    case HEADER.contentLength: {
      const length = contentLength(head, field);
      if (length < 0 || head.contentLength >= 0) return "E_BAD_LENGTH";
      head.contentLength = length;
      return undefined;
    }
    case HEADER.transferEncoding:
      if (head.chunked || !valueIs(head, field, "chunked")) return "E_BAD_TRANSFER_ENCODING";
      head.chunked = true;
      return undefined;
    case HEADER.connection:
      head.drop(field);
      return readConnection(head, field) ? undefined : "E_BAD_HEADER";
    case HEADER.upgrade:
      head.drop(field);
      if (head.upgradeField >= 0) return "E_BAD_HEADER";
      head.upgradeField = field;
      return undefined;
    case HEADER.expect:
      if (!valueIs(head, field, "100-continue")) return "E_BAD_EXPECT";
      head.expectContinue = head.minorVersion === 1;
      if (!head.expectContinue) head.drop(field);
      return undefined;
    case HEADER.te:
      // Trailers are the only transfer feature that is passed on.
      head.acceptsTrailers = valueIs(head, field, "trailers");
      if (!head.acceptsTrailers) head.drop(field);
      return undefined;
    case HEADER.keepAlive:
    case HEADER.proxyConnection:
    case HEADER.proxyAuthorization:
    case HEADER.proxyAuthenticate:
    case HEADER.http2Settings:
      head.drop(field);
      return undefined;
    default:
      return undefined;
  }
}

export type TargetForm = "origin" | "absolute" | "asterisk" | "authority" | "bad";

/** Which form of RFC 9112 section 3.2 the target has. */
export function targetForm(head: Head): TargetForm {
  const { bytes, targetStart, targetEnd } = head;
  if (bytes[targetStart] === SLASH && bytes[head.start] !== CAPITAL_C) return "origin";
  const method = latin1(bytes, head.start, head.methodEnd);
  if (method === "CONNECT") return "authority";
  if (bytes[targetStart] === SLASH) return "origin";
  if (targetEnd - targetStart === 1 && bytes[targetStart] === 0x2a) return method === "OPTIONS" ? "asterisk" : "bad";
  return absoluteAuthority(head) === undefined ? "bad" : "absolute";
}

/** Where the authority and the path of an absolute-form target begin and end; undefined when it is not one. */
export function absoluteAuthority(head: Head): { start: number; end: number } | undefined {
  const { bytes, targetStart, targetEnd } = head;
  const scheme = /^https?:\/\//i.exec(latin1(bytes, targetStart, Math.min(targetEnd, targetStart + 8)));
  if (scheme === null) return undefined;
  const start = targetStart + scheme[0].length;
  let end = start;
  while (end < targetEnd && bytes[end] !== SLASH && bytes[end] !== 0x3f) end++;
  return end > start && isHost(bytes, start, end) ? { start, end } : undefined;
}
