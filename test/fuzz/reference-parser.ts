/**
 * HTTP/1.1 read a second time, in the plainest way: whole messages as text, one regular expression per grammar rule of
 * RFC 9110 and RFC 9112, no state that survives a call. Slow, and meant to share nothing with the parser it is compared
 * with. As strict as that one must be: whatever could be read in two ways is refused.
 */

/** `more`: nothing is wrong so far, but the message is not complete. */
export type Outcome = "complete" | "more" | "refused";

export type Framing = "none" | "length" | "chunked" | "close";

export interface ReferenceLimits {
  readonly bytes: number;
  readonly fields: number;
}

export interface ReferenceMessage {
  readonly head: Outcome;
  /** Behind the empty line; 0 while the head is not complete. */
  readonly headEnd: number;
  readonly minorVersion: number;
  /** Requests only. */
  readonly method: string;
  readonly target: string;
  readonly form: "origin" | "absolute" | "asterisk" | "authority" | "bad";
  /** Responses only. */
  readonly status: number;
  /** Names as they were written, values without the white space around them. */
  readonly headers: readonly (readonly [string, string])[];
  readonly framing: Framing;
  readonly body: Outcome;
  /** Behind the body, or as far as there is anything of it. */
  readonly bodyEnd: number;
  /** The body's data, without chunk sizes. */
  readonly data: string;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const VALUE = "[\\t\\x20-\\x7e\\x80-\\xff]*";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21\\x22\\x24-\\x7e]+) HTTP/1\\.([01])$`);
const STATUS_LINE = new RegExp(`^HTTP/1\\.([01]) ([1-5][0-9][0-9])(?: ${VALUE})?$`);
const FIELD = new RegExp(`^(${TOKEN}):(${VALUE})$`);
const CHUNK_LINE = new RegExp(`^([0-9A-Fa-f]{1,13})((?:[ \\t]*;${VALUE})?)$`);
const TOKEN_ONLY = new RegExp(`^${TOKEN}$`);
const HOST = /^(?:\[[0-9A-Za-z.:%]+\]|[0-9A-Za-z._~!$&'()*+;=%-]*)(?::[0-9]{0,5})?$/;
const MAX_METHOD = 32;
const MAX_EXTENSION = 1_024;
const MAX_TRAILERS = 16_384;
const NOT_IN_TRAILERS =
  /^(transfer-encoding|content-length|host|connection|trailer|te|upgrade|expect|authorization|cookie|set-cookie|cache-control|content-encoding|content-type|content-range)$/i;

const NOTHING: ReferenceMessage = {
  head: "more",
  headEnd: 0,
  minorVersion: 1,
  method: "",
  target: "",
  form: "bad",
  status: 0,
  headers: [],
  framing: "none",
  body: "more",
  bodyEnd: 0,
  data: "",
};
const REFUSED: ReferenceMessage = { ...NOTHING, head: "refused", body: "refused" };

/** The first request in `text`, whose characters stand for bytes. */
export function readRequest(text: string, limits: ReferenceLimits): ReferenceMessage {
  const lines = readLines(text.startsWith("\r\n") ? text.slice(2) : text, REQUEST_LINE, limits);
  if (lines.outcome !== "complete") return lines.outcome === "more" ? NOTHING : REFUSED;
  const headEnd = lines.end + (text.startsWith("\r\n") ? 2 : 0);
  const [, method = "", target = "", minor = ""] = lines.first;
  const length = lengthOf(lines.headers, minor);
  if (method.length > MAX_METHOD || headEnd > limits.bytes) return REFUSED;
  if (length === undefined || !isRequestClear(lines.headers, minor)) return REFUSED;
  const framing = length === "chunked" ? "chunked" : length > 0 ? "length" : "none";
  return {
    ...NOTHING,
    head: "complete",
    headEnd,
    minorVersion: Number(minor),
    method,
    target,
    form: formOf(method, target),
    headers: lines.headers,
    framing,
    ...readBody(text, headEnd, framing, length === "chunked" ? 0 : Math.max(0, length)),
  };
}

/** The first response in `text`, the answer to a HEAD request when `toHead`. */
export function readResponse(text: string, toHead: boolean, limits: ReferenceLimits): ReferenceMessage {
  const lines = readLines(text, STATUS_LINE, limits);
  if (lines.outcome !== "complete") return lines.outcome === "more" ? NOTHING : REFUSED;
  const [, minor = "", code = ""] = lines.first;
  const status = Number(code);
  const length = lengthOf(lines.headers, minor);
  if (lines.end > limits.bytes || length === undefined || !isConnectionClear(lines.headers)) return REFUSED;
  const bodiless = toHead || status < 200 || status === 204 || status === 304;
  const framing = bodiless ? "none" : length === "chunked" ? "chunked" : length < 0 ? "close" : "length";
  return {
    ...NOTHING,
    head: "complete",
    headEnd: lines.end,
    minorVersion: Number(minor),
    status,
    headers: lines.headers,
    framing,
    ...readBody(text, lines.end, framing, length === "chunked" ? 0 : Math.max(0, length)),
  };
}

/** All requests in `text` that are complete, one behind the other, and what became of the rest. */
export function readPipeline(text: string, limits: ReferenceLimits): { requests: ReferenceMessage[]; rest: Outcome } {
  const requests: ReferenceMessage[] = [];
  let at = 0;
  while (at < text.length) {
    const request = readRequest(text.slice(at), limits);
    if (request.head !== "complete") return { requests, rest: request.head };
    if (request.body !== "complete") return { requests, rest: request.body };
    requests.push(request);
    at += request.bodyEnd;
  }
  return { requests, rest: "complete" };
}

interface Lines {
  readonly outcome: Outcome;
  readonly first: readonly string[];
  readonly headers: (readonly [string, string])[];
  readonly end: number;
}

/** The first line and the header lines. Only lines that are there as a whole are looked at. */
function readLines(text: string, firstLine: RegExp, limits: ReferenceLimits): Lines {
  const headers: (readonly [string, string])[] = [];
  const give = (outcome: Outcome, first: readonly string[] = [], end = 0): Lines => ({ outcome, first, headers, end });
  let first: readonly string[] | undefined;
  let at = 0;
  for (;;) {
    const lineFeed = text.indexOf("\n", at);
    if (lineFeed < 0) return give(text.length >= limits.bytes ? "refused" : "more");
    const line = text.slice(at, lineFeed);
    if (!line.endsWith("\r")) return give("refused");
    at = lineFeed + 1;
    const content = line.slice(0, -1);
    if (first === undefined) {
      first = firstLine.exec(content) ?? undefined;
      if (first === undefined) return give("refused");
    } else if (content === "") return give("complete", first, at);
    else {
      const field = FIELD.exec(content);
      if (field === null || headers.length === limits.fields) return give("refused");
      headers.push([field[1] as string, (field[2] as string).replace(/^[ \t]+|[ \t]+$/g, "")]);
    }
  }
}

function valuesOf(headers: readonly (readonly [string, string])[], wanted: string): string[] {
  return headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
}

/** What Content-Length and Transfer-Encoding say: -1 for nothing, undefined when it is not clear (RFC 9112 section 6.3). */
function lengthOf(headers: readonly (readonly [string, string])[], minor: string): number | "chunked" | undefined {
  const lengths = valuesOf(headers, "content-length");
  const codings = valuesOf(headers, "transfer-encoding");
  if (lengths.length + codings.length > 1) return undefined;
  if (codings.length === 1) return /^chunked$/i.test(codings[0] as string) && minor === "1" ? "chunked" : undefined;
  if (lengths.length === 0) return -1;
  return /^[0-9]{1,15}$/.test(lengths[0] as string) ? Number(lengths[0]) : undefined;
}

function isRequestClear(headers: readonly (readonly [string, string])[], minor: string): boolean {
  const hosts = valuesOf(headers, "host");
  if (hosts.length > 1 || (hosts.length === 0 && minor === "1")) return false;
  if (hosts.some((host) => !HOST.test(host))) return false;
  if (valuesOf(headers, "upgrade").length > 1) return false;
  if (valuesOf(headers, "expect").some((value) => !/^100-continue$/i.test(value))) return false;
  return isConnectionClear(headers);
}

/** A list of tokens (RFC 9110 section 5.6.1), empty elements allowed. */
function isConnectionClear(headers: readonly (readonly [string, string])[]): boolean {
  return valuesOf(headers, "connection")
    .flatMap((value) => value.split(","))
    .map((element) => element.replace(/^[ \t]+|[ \t]+$/g, ""))
    .every((element) => element === "" || TOKEN_ONLY.test(element));
}

function formOf(method: string, target: string): ReferenceMessage["form"] {
  if (method === "CONNECT") return "authority";
  if (target.startsWith("/")) return "origin";
  if (target === "*") return method === "OPTIONS" ? "asterisk" : "bad";
  const authority = /^https?:\/\/([^/?]+)/i.exec(target)?.[1];
  return authority !== undefined && HOST.test(authority) ? "absolute" : "bad";
}

type Body = Pick<ReferenceMessage, "body" | "bodyEnd" | "data">;

function readBody(text: string, start: number, framing: Framing, length: number): Body {
  if (framing === "none") return { body: "complete", bodyEnd: start, data: "" };
  if (framing === "chunked") return readChunks(text, start);
  const end = framing === "close" ? text.length : Math.min(text.length, start + length);
  const complete = framing === "length" && end === start + length;
  return { body: complete ? "complete" : "more", bodyEnd: end, data: text.slice(start, end) };
}

function readChunks(text: string, start: number): Body {
  let at = start;
  let data = "";
  const give = (body: Outcome): Body => ({ body, bodyEnd: at, data });
  for (;;) {
    const lineFeed = text.indexOf("\n", at);
    if (lineFeed < 0) return give("more");
    const line = text.slice(at, lineFeed);
    const chunk = line.endsWith("\r") ? CHUNK_LINE.exec(line.slice(0, -1)) : null;
    if (chunk === null || (chunk[2] as string).length > MAX_EXTENSION) return give("refused");
    at = lineFeed + 1;
    const size = Number.parseInt(chunk[1] as string, 16);
    if (size === 0) return readTrailers(text, at, data);
    data += text.slice(at, at + size);
    const behind = text.slice(at + size, at + size + 2);
    if (!"\r\n".startsWith(behind)) return give("refused");
    if (behind !== "\r\n") return give("more");
    at += size + 2;
  }
}

function readTrailers(text: string, start: number, data: string): Body {
  let at = start;
  const give = (body: Outcome): Body => ({ body, bodyEnd: at, data });
  for (;;) {
    const lineFeed = text.indexOf("\n", at);
    if (lineFeed < 0) return give("more");
    const line = text.slice(at, lineFeed);
    at = lineFeed + 1;
    if (at - start > MAX_TRAILERS || !line.endsWith("\r")) return give("refused");
    if (line === "\r") return give("complete");
    const field = FIELD.exec(line.slice(0, -1));
    if (field === null || NOT_IN_TRAILERS.test((field[1] as string).replaceAll("_", "-"))) return give("refused");
  }
}
