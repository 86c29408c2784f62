/**
 * What field sections must look like (RFC 9113 sections 8.2, 8.3 and 8.5, RFC 8441), and what they say about their message.
 * A section that breaks these rules is malformed: a stream error PROTOCOL_ERROR. Names and values were looked at when
 * they were decoded; here only what was found is read.
 */
import { ALIAS, hashHeaderName } from "../http1/header-names.ts";
import { BAD_NAME, BAD_VALUE, FIELD, FIRST_PSEUDO, ID_MASK, same } from "./field-names.ts";
import { contentLength, isAuthority, isPath, isScheme, isToken, sameIgnoringCase, statusCode } from "./field-syntax.ts";
import type { HeaderList } from "./header-list.ts";

export type FieldProblem =
  | "a field name is not valid"
  | "a field value is not valid"
  | "a pseudo-header stands behind a field"
  | "a pseudo-header does not belong here"
  | "a pseudo-header is there twice"
  | "a pseudo-header is missing"
  | "a connection-specific field is not allowed"
  | "te allows nothing but trailers"
  | "content-length is not valid"
  | "host is there twice"
  | "host is not valid"
  | "host and :authority differ"
  | ":method is not valid"
  | ":scheme is not valid"
  | ":authority is not valid"
  | ":path is not valid"
  | ":protocol is not valid"
  | ":status is not valid"
  | "a field is not allowed in trailers";

const TRAILERS = Buffer.from("trailers");
const CONTINUE = Buffer.from("100-continue");
const CONNECT = Buffer.from("CONNECT");
const OPTIONS = Buffer.from("OPTIONS");

/** What a request's fields say. Fields are given by their number in the list, -1 for none. */
export class RequestFields {
  method = -1;
  scheme = -1;
  authority = -1;
  path = -1;
  protocol = -1;
  host = -1;
  expect = -1;
  /** The first field that is not a pseudo-header. */
  firstRegular = 0;
  contentLength = -1;
  cookies = 0;
  isConnect = false;
  /** TE: trailers. */
  acceptsTrailers = false;
  /** The value of the field `expect` is 100-continue. */
  expectContinue = false;

  clear(): void {
    this.method = -1;
    this.scheme = -1;
    this.authority = -1;
    this.path = -1;
    this.protocol = -1;
    this.host = -1;
    this.expect = -1;
    this.firstRegular = 0;
    this.contentLength = -1;
    this.cookies = 0;
    this.isConnect = false;
    this.acceptsTrailers = false;
    this.expectContinue = false;
  }
}

/** What a response's fields say. */
export class ResponseFields {
  status = 0;
  /** -1 for none. The fields that are no pseudo-headers are those from number 1 on. */
  contentLength = -1;
}

/**
 * Reads the fields of a request into `fields`. `extendedConnect`: we have told SETTINGS_ENABLE_CONNECT_PROTOCOL, so that
 * `:protocol` is allowed. Returns what is wrong, or undefined.
 */
export function inspectRequest(
  list: HeaderList,
  fields: RequestFields,
  extendedConnect: boolean,
): FieldProblem | undefined {
  fields.clear();
  let regular = false;
  for (let field = 0; field < list.count; field++) {
    const info = list.info(field);
    if ((info & (BAD_NAME | BAD_VALUE)) !== 0) return badBytes(info);
    const id = info & ID_MASK;
    let problem: FieldProblem | undefined;
    if (id >= FIRST_PSEUDO && id < ALIAS) {
      if (regular) return "a pseudo-header stands behind a field";
      problem = takePseudo(fields, field, id);
    } else {
      if (!regular) fields.firstRegular = field;
      regular = true;
      if (id !== FIELD.other && id < ALIAS) problem = takeRequestField(list, fields, field, id);
    }
    if (problem !== undefined) return problem;
  }
  if (!regular) fields.firstRegular = list.count;
  return checkRequest(list, fields, extendedConnect);
}

/** Reads the fields of a response, final or interim (1xx), into `fields`. Returns what is wrong, or undefined. */
export function inspectResponse(list: HeaderList, fields: ResponseFields): FieldProblem | undefined {
  fields.status = 0;
  fields.contentLength = -1;
  let regular = false;
  for (let field = 0; field < list.count; field++) {
    const info = list.info(field);
    if ((info & (BAD_NAME | BAD_VALUE)) !== 0) return badBytes(info);
    const id = info & ID_MASK;
    if (id >= FIRST_PSEUDO && id < ALIAS) {
      if (regular) return "a pseudo-header stands behind a field";
      if (id !== FIELD.status) return "a pseudo-header does not belong here";
      if (field > 0) return "a pseudo-header is there twice";
      fields.status = statusCode(list.bytes, list.valueStart(field), list.valueEnd(field));
      // 101 has no meaning in HTTP/2 (RFC 9113 section 8.6).
      if (fields.status === 0 || fields.status === 101) return ":status is not valid";
      continue;
    }
    regular = true;
    if (isConnectionSpecific(id) || id === FIELD.te) return "a connection-specific field is not allowed";
    if (id !== FIELD.contentLength) continue;
    if (fields.contentLength >= 0) return "content-length is not valid";
    fields.contentLength = contentLength(list.bytes, list.valueStart(field), list.valueEnd(field));
    if (fields.contentLength < 0) return "content-length is not valid";
  }
  return fields.status === 0 ? "a pseudo-header is missing" : undefined;
}

/** Looks at trailers, of requests or responses. Returns what is wrong, or undefined. */
export function inspectTrailers(list: HeaderList): FieldProblem | undefined {
  for (let field = 0; field < list.count; field++) {
    const info = list.info(field);
    if ((info & (BAD_NAME | BAD_VALUE)) !== 0) return badBytes(info);
    const id = info & ID_MASK;
    if (id >= FIRST_PSEUDO && id < ALIAS) return "a pseudo-header does not belong here";
    if (isConnectionSpecific(id)) return "a connection-specific field is not allowed";
    if (FORBIDDEN_TRAILER_HASHES.has(list.hash(field)) && FORBIDDEN_TRAILERS.has(list.name(field).replaceAll("_", "-")))
      return "a field is not allowed in trailers";
  }
  return undefined;
}

/** Fields that would change how a message is framed, routed or who is let in (RFC 9110 section 6.5.1). */
const FORBIDDEN_TRAILERS = new Set([
  ...["content-length", "host", "trailer", "te", "expect", "authorization", "cookie", "set-cookie"],
  ...["cache-control", "content-encoding", "content-type", "content-range"],
]);
const FORBIDDEN_TRAILER_HASHES = new Set([...FORBIDDEN_TRAILERS].map(hashHeaderName));

function badBytes(info: number): FieldProblem {
  return (info & BAD_NAME) !== 0 ? "a field name is not valid" : "a field value is not valid";
}

function takePseudo(fields: RequestFields, field: number, id: number): FieldProblem | undefined {
  let before: number;
  switch (id) {
    case FIELD.method:
      before = fields.method;
      fields.method = field;
      break;
    case FIELD.scheme:
      before = fields.scheme;
      fields.scheme = field;
      break;
    case FIELD.authority:
      before = fields.authority;
      fields.authority = field;
      break;
    case FIELD.path:
      before = fields.path;
      fields.path = field;
      break;
    case FIELD.protocol:
      before = fields.protocol;
      fields.protocol = field;
      break;
    default:
      return "a pseudo-header does not belong here";
  }
  return before < 0 ? undefined : "a pseudo-header is there twice";
}

function takeRequestField(
  list: HeaderList,
  fields: RequestFields,
  field: number,
  id: number,
): FieldProblem | undefined {
  if (isConnectionSpecific(id)) return "a connection-specific field is not allowed";
  const { bytes } = list;
  const start = list.valueStart(field);
  const end = list.valueEnd(field);
  switch (id) {
    case FIELD.te:
      if (fields.acceptsTrailers || !same(bytes, start, end, TRAILERS)) return "te allows nothing but trailers";
      fields.acceptsTrailers = true;
      return undefined;
    case FIELD.contentLength:
      if (fields.contentLength >= 0) return "content-length is not valid";
      fields.contentLength = contentLength(bytes, start, end);
      return fields.contentLength < 0 ? "content-length is not valid" : undefined;
    case FIELD.host:
      if (fields.host >= 0) return "host is there twice";
      fields.host = field;
      return undefined;
    case FIELD.expect:
      fields.expect = field;
      fields.expectContinue = same(bytes, start, end, CONTINUE);
      return undefined;
    case FIELD.cookie:
      fields.cookies++;
      return undefined;
    default:
      return undefined;
  }
}

/** Fields that speak of one HTTP/1.1 connection (RFC 9113 section 8.2.2). */
function isConnectionSpecific(id: number): boolean {
  switch (id) {
    case FIELD.connection:
    case FIELD.proxyConnection:
    case FIELD.keepAlive:
    case FIELD.transferEncoding:
    case FIELD.upgrade:
    case FIELD.http2Settings:
      return true;
    default:
      return false;
  }
}

/** What must be there, and how it fits together (RFC 9113 sections 8.3.1 and 8.5, RFC 8441 section 4). */
function checkRequest(list: HeaderList, fields: RequestFields, extendedConnect: boolean): FieldProblem | undefined {
  const { method, scheme, authority, path, protocol, host } = fields;
  const { bytes } = list;
  if (method < 0) return "a pseudo-header is missing";
  const methodStart = list.valueStart(method);
  const methodEnd = list.valueEnd(method);
  if (!isToken(bytes, methodStart, methodEnd)) return ":method is not valid";
  fields.isConnect = same(bytes, methodStart, methodEnd, CONNECT);
  if (protocol >= 0) {
    if (!extendedConnect || !fields.isConnect) return "a pseudo-header does not belong here";
    if (!isToken(bytes, list.valueStart(protocol), list.valueEnd(protocol))) return ":protocol is not valid";
  }
  // DATA of CONNECT is a tunnel and not content: nobody can say its length.
  if (fields.isConnect && fields.contentLength >= 0) return "content-length is not valid";
  const wrongHost = checkAuthority(list, authority, host);
  if (wrongHost !== undefined) return wrongHost;

  const mayLackAuthority = host >= 0 && !fields.isConnect;
  if (authority < 0 && !mayLackAuthority) return "a pseudo-header is missing";
  if (fields.isConnect && protocol < 0) {
    return scheme >= 0 || path >= 0 ? "a pseudo-header does not belong here" : undefined;
  }
  if (scheme < 0 || path < 0) return "a pseudo-header is missing";
  if (!isScheme(bytes, list.valueStart(scheme), list.valueEnd(scheme))) return ":scheme is not valid";
  const asterisk = same(bytes, methodStart, methodEnd, OPTIONS);
  return isPath(bytes, list.valueStart(path), list.valueEnd(path), asterisk) ? undefined : ":path is not valid";
}

function checkAuthority(list: HeaderList, authority: number, host: number): FieldProblem | undefined {
  const { bytes } = list;
  if (authority >= 0 && !isAuthority(bytes, list.valueStart(authority), list.valueEnd(authority)))
    return ":authority is not valid";
  if (host < 0) return undefined;
  const start = list.valueStart(host);
  const end = list.valueEnd(host);
  if (!isAuthority(bytes, start, end)) return "host is not valid";
  if (authority < 0 || sameIgnoringCase(bytes, start, end, list.valueStart(authority), list.valueEnd(authority)))
    return undefined;
  return "host and :authority differ";
}
