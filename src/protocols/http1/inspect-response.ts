/** What the headers of a parsed response mean. An endpoint that is not clear is not trusted: its answer becomes 502. */
import type { ErrorCode } from "../../base/errors.ts";
import { contentLength, readConnection, valueIs } from "./field-values.ts";
import type { Head } from "./head.ts";
import { ALIAS, HEADER } from "./header-names.ts";

/** Fills in the meaning of a complete response head. The code of what is wrong, or undefined. */
export function inspectResponse(head: Head): ErrorCode | undefined {
  for (let field = 0; field < head.fieldCount; field++) {
    const id = head.id(field);
    if (id === HEADER.other) continue;
    if (!inspectField(head, field, id)) return "E_BAD_RESPONSE";
  }
  if (head.chunked && (head.contentLength >= 0 || head.minorVersion === 0)) return "E_BAD_RESPONSE";
  return undefined;
}

function inspectField(head: Head, field: number, id: number): boolean {
  switch (id) {
    case HEADER.contentLength: {
      const length = contentLength(head, field);
      if (length < 0 || head.contentLength >= 0) return false;
      head.contentLength = length;
      return true;
    }
    case HEADER.transferEncoding:
      if (head.chunked || !valueIs(head, field, "chunked")) return false;
      head.chunked = true;
      return true;
    case HEADER.connection:
      head.drop(field);
      return readConnection(head, field);
    case HEADER.upgrade:
      head.drop(field);
      head.upgradeField = field;
      return true;
    case HEADER.keepAlive:
    case HEADER.proxyConnection:
      head.drop(field);
      return true;
    case HEADER.date:
      head.hasDate = true;
      return true;
    case HEADER.contentLength | ALIAS:
    case HEADER.transferEncoding | ALIAS:
      head.drop(field);
      return true;
    default:
      return true;
  }
}

/** How the body of a response ends (RFC 9112 section 6.3). */
export type ResponseFraming = "none" | "length" | "chunked" | "close";

export function responseFraming(head: Head, isHeadRequest: boolean): ResponseFraming {
  if (isHeadRequest || head.status < 200 || head.status === 204 || head.status === 304) return "none";
  if (head.chunked) return "chunked";
  if (head.contentLength >= 0) return "length";
  return "close";
}
