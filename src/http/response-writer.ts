/** Puts answers for an HTTP/1.1 or 1.0 client together in the worker's one buffer. */
import type { Head } from "../protocols/http1/head.ts";
import { HEADER } from "../protocols/http1/header-names.ts";
import type { ByteWriter } from "../transport/byte-writer.ts";
import type { ResponseHead } from "./client-side.ts";
import { writeHeadFields } from "./edits.ts";
import { reasonPhrase } from "./respond.ts";

const ONE = 0x31;
/** Where the minor version stands in `HTTP/1.x`. */
const MINOR_VERSION = 7;

/** How the body goes to the client. */
export type BodyCoding = "as-is" | "chunk";

/** What the head must say about the connection: nothing, that it stays (HTTP/1.0), or that it closes. */
export type ConnectionLine = "" | "Connection: keep-alive\r\n" | "Connection: close\r\n";

export function writeResponseHead(
  writer: ByteWriter,
  response: ResponseHead,
  body: { readonly coding: BodyCoding; readonly keepsChunks: boolean },
  connection: ConnectionLine,
  ownLines: string,
): void {
  const { head } = response;
  writer.clear();
  dropFraming(head, body.keepsChunks);
  writer.copy(head.bytes, head.start, head.fieldsStart);
  if (head.minorVersion === 0) writer.bytes[MINOR_VERSION] = ONE;
  writeHeadFields(writer, head);
  if (body.coding === "chunk") writer.text("Transfer-Encoding: chunked\r\n");
  if (ownLines !== "") writer.text(ownLines);
  if (connection !== "") writer.text(connection);
  if (response.appended !== "") writer.text(response.appended);
  writer.text("\r\n");
}

/** Length and coding must be those of what is really sent; answers without a body may not claim one (RFC 9112 6.1, 6.2). */
function dropFraming(head: Head, keepsChunks: boolean): void {
  const bodiless = head.status < 200 || head.status === 204;
  if (!head.chunked && !(bodiless && head.contentLength >= 0)) return;
  if (head.chunked && keepsChunks) return;
  for (let field = 0; field < head.fieldCount; field++) {
    const id = head.id(field);
    if (id === HEADER.transferEncoding || (bodiless && id === HEADER.contentLength)) head.drop(field);
  }
}

/** A whole answer of evenkeel's own. `headers` are lines with their line breaks. Returns the bytes of its body. */
export function writeOwnAnswer(
  writer: ByteWriter,
  answer: { readonly status: number; readonly headers: string; readonly body: string; readonly withBody: boolean },
  connection: ConnectionLine,
  ownLines: string,
): number {
  const body = Buffer.from(answer.body);
  writer.clear();
  writer.text(`HTTP/1.1 ${answer.status} ${reasonPhrase(answer.status)}\r\n${ownLines}${answer.headers}`);
  const bodiless = answer.status < 200 || answer.status === 204 || answer.status === 304;
  if (!bodiless) writer.text(`Content-Length: ${body.length}\r\n`);
  writer.text(`${connection}\r\n`);
  if (!answer.withBody || bodiless) return 0;
  writer.copy(body, 0, body.length);
  return body.length;
}
