/** A request's HTTP/1.1 head and trailers as HTTP/2 fields for an endpoint (RFC 9113 section 8.3.1). */
import type { Head } from "../../protocols/http1/head.ts";
import { HEADER } from "../../protocols/http1/header-names.ts";
import type { ByteSink } from "../../protocols/http2/byte-sink.ts";
import type { HpackEncoder } from "../../protocols/http2/hpack-encoder.ts";
import { STATIC_NAME } from "../../protocols/http2/hpack-static-table.ts";

const SCHEMES = { http: Buffer.from("http"), https: Buffer.from("https") } as const;
const CONNECT = Buffer.from("CONNECT");
const TRAILERS = Buffer.from("trailers");

/** `protocol`: what the request wants to upgrade to, as an extended CONNECT (RFC 8441); "" for none. */
export function encodeRequest(
  encoder: HpackEncoder,
  sink: ByteSink,
  head: Head,
  schemeName: "http" | "https",
  protocol: string,
): void {
  const { bytes } = head;
  const scheme = SCHEMES[schemeName];
  // HTTP/2 has no need of the key; the answer to it is worked out here (upstream-stream.ts).
  const keyField = protocol === "" ? -1 : head.find("sec-websocket-key");
  encoder.begin(sink);
  if (protocol === "") encoder.named(sink, STATIC_NAME.method, bytes, head.start, head.methodEnd);
  else {
    encoder.named(sink, STATIC_NAME.method, CONNECT, 0, CONNECT.length);
    encoder.text(sink, ":protocol", protocol);
  }
  encoder.named(sink, STATIC_NAME.scheme, scheme, 0, scheme.length);
  encoder.named(sink, STATIC_NAME.path, bytes, head.targetStart, head.targetEnd);
  const { hostField } = head;
  if (hostField >= 0 && head.valueEnd(hostField) > head.valueStart(hostField)) {
    encoder.named(sink, STATIC_NAME.authority, bytes, head.valueStart(hostField), head.valueEnd(hostField));
  }
  for (let field = 0; field < head.fieldCount; field++) {
    if (field === keyField || isLeftOut(head.id(field), protocol)) continue;
    encoder.field(
      sink,
      bytes,
      head.nameStart(field),
      head.nameEnd(field),
      head.valueStart(field),
      head.valueEnd(field),
    );
  }
  if (head.acceptsTrailers) encoder.text(sink, "te", TRAILERS.toString());
}

/** `lines`: those of a chunked body, checked when they came, each with its line break. */
export function encodeTrailers(encoder: HpackEncoder, sink: ByteSink, lines: string): void {
  encoder.begin(sink);
  for (const line of lines.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) encoder.text(sink, line.slice(0, colon), line.slice(colon + 1).trim());
  }
}

/** What speaks of one HTTP/1.1 connection, or is said by a pseudo-header (RFC 9113 section 8.2.2). */
function isLeftOut(id: number, protocol: string): boolean {
  switch (id) {
    case HEADER.host:
    case HEADER.connection:
    case HEADER.keepAlive:
    case HEADER.proxyConnection:
    case HEADER.transferEncoding:
    case HEADER.upgrade:
    case HEADER.te:
    case HEADER.http2Settings:
      return true;
    case HEADER.contentLength:
      return protocol !== "";
    default:
      return false;
  }
}
