/**
 * A request that came in HTTP/2, as the HTTP/1.1 head that the rest of the program works with: routing, filters and
 * endpoints need not know how it came. The decoder has written the fields as HTTP/1.1 lines already.
 */
import type { ErrorCode } from "../../base/errors.ts";
import { BAD, type Head, type HeadLimits, MORE } from "../../protocols/http1/head.ts";
import { inspectRequest } from "../../protocols/http1/inspect-request.ts";
import { parseRequestHead } from "../../protocols/http1/parse-request.ts";
import { copyBytes } from "../../protocols/http2/copy-bytes.ts";
import { FIELD } from "../../protocols/http2/field-names.ts";
import type { RequestFields } from "../../protocols/http2/field-rules.ts";
import type { HeaderList } from "../../protocols/http2/header-list.ts";
import { ByteWriter } from "../../transport/byte-writer.ts";

/** Stands for a request whose own head is beyond the limits. */
export const NO_HEAD = Buffer.from("GET / HTTP/1.1\r\n\r\n");

const SCRATCH_BYTES = 8_192;
const VERSION = Buffer.from(" HTTP/1.1\r\nHost: ");
const LINE_BREAK = Buffer.from("\r\n");
const CHUNKED = Buffer.from("Transfer-Encoding: chunked\r\n");
const COOKIE = Buffer.from("Cookie: ");
const COOKIE_SEPARATOR = Buffer.from("; ");
const KEY = "sec-websocket-key";
const GET = Buffer.from("GET");
const SPACE = Buffer.from(" ");
const writer = new ByteWriter(SCRATCH_BYTES);

/** The head's bytes, its empty line included, in a buffer of its own. `hasBody`: DATA follows. */
export function requestHead(list: HeaderList, fields: RequestFields, hasBody: boolean): Buffer {
  writer.clear();
  const { authority, host, path } = fields;
  const upgrade = fields.protocol >= 0;
  if (upgrade) copy(GET);
  else copyValue(list, fields.method);
  copy(SPACE);
  copyValue(list, path >= 0 ? path : authority);
  copy(VERSION);
  copyValue(list, authority >= 0 ? authority : host);
  copy(LINE_BREAK);
  copyFields(list, fields);
  if (fields.cookies > 1) joinCookies(list, fields);
  if (upgrade) writer.text(upgradeLines(list, fields));
  else if (hasBody && fields.contentLength < 0) copy(CHUNKED);
  copy(LINE_BREAK);
  const head = Buffer.allocUnsafe(writer.length);
  copyBytes(writer.bytes, 0, writer.length, head, 0);
  return head;
}

/** Reads a head that `requestHead` has written; returns what is wrong with the request. */
export function readMadeHead(head: Head, end: number, limits: HeadLimits): ErrorCode | undefined {
  const result = parseRequestHead(head, end, limits);
  return result === BAD ? head.error : result === MORE ? "E_BAD_HEADER" : inspectRequest(head);
}

/** All but what is written otherwise, in as few runs as possible. */
function copyFields(list: HeaderList, { host, cookies, firstRegular }: RequestFields): void {
  if (firstRegular >= list.count) return;
  let runStart = list.nameStart(firstRegular);
  if (host >= 0 || cookies > 1) {
    for (let field = firstRegular; field < list.count; field++) {
      if (field !== host && !(cookies > 1 && list.id(field) === FIELD.cookie)) continue;
      writer.copy(list.bytes, runStart, list.nameStart(field));
      runStart = list.valueEnd(field) + LINE_BREAK.length;
    }
  }
  writer.copy(list.bytes, runStart, list.length);
}

/** RFC 9113 section 8.2.3: in HTTP/2 they may come apart, in HTTP/1.1 they may not. */
function joinCookies(list: HeaderList, { firstRegular }: RequestFields): void {
  let first = true;
  for (let field = firstRegular; field < list.count; field++) {
    if (list.id(field) !== FIELD.cookie) continue;
    copy(first ? COOKIE : COOKIE_SEPARATOR);
    first = false;
    copyValue(list, field);
  }
  copy(LINE_BREAK);
}

/** RFC 8441: what CONNECT with `:protocol` asks for is what an Upgrade asks for in HTTP/1.1. */
function upgradeLines(list: HeaderList, fields: RequestFields): string {
  const protocol = list.value(fields.protocol);
  const lines = `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
  if (protocol.toLowerCase() !== "websocket" || list.find(KEY) >= 0) return lines;
  const key = crypto.getRandomValues(Buffer.alloc(16)).toString("base64");
  return `${lines}Sec-WebSocket-Key: ${key}\r\n`;
}

function copyValue(list: HeaderList, field: number): void {
  writer.copy(list.bytes, list.valueStart(field), list.valueEnd(field));
}

function copy(bytes: Buffer): void {
  writer.copy(bytes, 0, bytes.length);
}
