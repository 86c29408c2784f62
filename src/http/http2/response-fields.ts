/** Answers as HTTP/2 fields: the endpoint's HTTP/1.1 head, or lines that evenkeel has written itself. */
import type { Head } from "../../protocols/http1/head.ts";
import { HEADER } from "../../protocols/http1/header-names.ts";
import type { ByteSink } from "../../protocols/http2/byte-sink.ts";
import type { HpackEncoder } from "../../protocols/http2/hpack-encoder.ts";
import type { HttpContext } from "../context.ts";
import type { ListenerSnapshot } from "../snapshot.ts";

/** Encodes the status and all fields that are not dropped and have a meaning in HTTP/2 (RFC 9113 section 8.2.2). */
export function encodeHead(encoder: HpackEncoder, sink: ByteSink, head: Head, status: number): void {
  encoder.begin(sink);
  encoder.status(sink, status);
  const bodiless = status < 200 || status === 204;
  for (let field = 0; field < head.fieldCount; field++) {
    if (head.isDropped(field)) continue;
    const id = head.id(field);
    if (isConnectionSpecific(id) || (bodiless && id === HEADER.contentLength)) continue;
    const { bytes } = head;
    encoder.field(
      sink,
      bytes,
      head.nameStart(field),
      head.nameEnd(field),
      head.valueStart(field),
      head.valueEnd(field),
    );
  }
}

function isConnectionSpecific(id: number): boolean {
  switch (id) {
    case HEADER.connection:
    case HEADER.keepAlive:
    case HEADER.proxyConnection:
    case HEADER.transferEncoding:
    case HEADER.upgrade:
    case HEADER.te:
      return true;
    default:
      return false;
  }
}

/** What evenkeel adds to every answer, as lines. `hasDate`: the answer has a date of its own. */
export function ownLines(from: { context: HttpContext; settings: ListenerSnapshot }, hasDate: boolean): string {
  return hasDate ? from.settings.hstsLine : from.context.date.line() + from.settings.hstsLine;
}

/** Encodes `Name: value` lines, each with its line break. */
export function encodeLines(encoder: HpackEncoder, sink: ByteSink, lines: string): void {
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf("\r\n", start);
    const colon = lines.indexOf(":", start);
    if (end < 0 || colon < 0 || colon > end) return;
    encoder.text(sink, lines.slice(start, colon), lines.slice(colon + 1, end).trim());
    start = end + 2;
  }
}
