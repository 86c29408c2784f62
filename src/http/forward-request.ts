/** Writes the request for the endpoint: the client's bytes, without what ends here, with what endpoints are told. */
import type { Head } from "../protocols/http1/head.ts";
import { HEADER } from "../protocols/http1/header-names.ts";
import type { ByteWriter } from "../transport/byte-writer.ts";
import { NEVER } from "../transport/deadlines.ts";
import { writeHeadFields } from "./edits.ts";
import type { Exchange } from "./exchange.ts";
import { grpcTimeout } from "./grpc.ts";
import { REQUEST_ID_LENGTH, writeRequestId } from "./request-id.ts";
import { REQUEST_TIMEOUT, requestTimeout } from "./request-timeout.ts";

/** Marks the headers that are replaced by our own. Once per exchange, before the first attempt. */
export function dropReplacedHeaders(exchange: Exchange): void {
  const { head } = exchange;
  const { forwarding } = exchange.settings;
  const trusted = exchange.fromTrustedProxy;
  if (exchange.grpcTimeoutMs !== NEVER) head.dropNamed("grpc-timeout");
  if (rulesTimeout(exchange)) head.dropNamed(REQUEST_TIMEOUT);
  for (let field = 0; field < head.fieldCount; field++) {
    switch (head.id(field)) {
      case HEADER.xForwardedFor:
      case HEADER.xRealIp:
        // Trusted or not: what is sent is rebuilt from what was received.
        if (!trusted || forwarding.xForwarded) head.drop(field);
        break;
      case HEADER.xForwardedProto:
      case HEADER.xForwardedHost:
      case HEADER.xForwardedPort:
      case HEADER.forwarded:
        if (!trusted) head.drop(field);
        break;
      case HEADER.xRequestId:
        if (forwarding.requestId) head.drop(field);
        break;
      case HEADER.host:
        if (exchange.form === "absolute" || exchange.newHost !== undefined) head.drop(field);
        break;
      default:
    }
  }
}

/** Puts the request head into `writer`, as it goes to the endpoint named `endpoint`. */
export function writeRequestHead(writer: ByteWriter, exchange: Exchange, endpoint: string): void {
  const { head } = exchange;
  writer.clear();
  if (exchange.newTarget === undefined && exchange.form !== "absolute" && head.minorVersion === 1) {
    writer.copy(head.bytes, head.start, head.fieldsStart);
  } else {
    writer.copy(head.bytes, head.start, head.targetStart);
    const query = exchange.query === "" && !exchange.target.endsWith("?") ? "" : `?${exchange.query}`;
    writer.text(exchange.newTarget ?? (exchange.form === "absolute" ? exchange.path + query : exchange.target));
    writer.text(" HTTP/1.1\r\n");
  }
  writeHeadFields(writer, head);
  if (exchange.newHost !== undefined) writer.text(`Host: ${exchange.newHost}\r\n`);
  else if (exchange.form === "absolute") writer.text(`Host: ${exchange.authority}\r\n`);
  else if (head.hostField < 0) writer.text(`Host: ${endpoint}\r\n`);
  writeForwarding(writer, exchange);
  if (exchange.grpcTimeoutMs !== NEVER) writer.text(`grpc-timeout: ${grpcTimeout(exchange.leftMs)}\r\n`);
  if (rulesTimeout(exchange)) writer.text(timeoutLine(exchange));
  writeConnection(writer, exchange);
  if (exchange.appended !== "") writer.text(exchange.appended);
  writer.text("\r\n");
}

/** Whether `X-Request-Timeout` is taken from the client, or told the endpoint: either way what goes on is our own. */
function rulesTimeout({ matched }: Exchange): boolean {
  return matched !== undefined && (matched.timeouts.fromClient || matched.timeouts.toEndpoint);
}

function timeoutLine({ matched, headerTimeoutMs, leftMs }: Exchange): string {
  const isToBeTold = matched?.timeouts.toEndpoint === true || headerTimeoutMs !== NEVER;
  return isToBeTold && leftMs !== NEVER ? `X-Request-Timeout: ${requestTimeout(leftMs)}\r\n` : "";
}

function writeForwarding(writer: ByteWriter, exchange: Exchange): void {
  const { forwarding, trustedProxies } = exchange.settings;
  if (forwarding.xForwarded) {
    if (trustedProxies === undefined) writeForwardedByUs(writer, exchange);
    else writeForwardedOn(writer, exchange);
  }
  if (forwarding.forwarded) writer.text(forwardedLine(exchange));
  if (forwarding.via) writer.text(viaLine(exchange));
  if (forwarding.requestId) writeRequestIdLine(writer, exchange);
}

function viaLine({ client, head }: Exchange): string {
  if (client.protocol !== undefined) return "Via: 2.0 evenkeel\r\n";
  return head.minorVersion === 0 ? "Via: 1.0 evenkeel\r\n" : "Via: 1.1 evenkeel\r\n";
}

/** The usual case, without proxies in front: what is known of the connection. */
function writeForwardedByUs(writer: ByteWriter, exchange: Exchange): void {
  const ip = exchange.peerIp;
  writer.text("X-Forwarded-For: ");
  writer.text(ip);
  writer.text("\r\nX-Real-IP: ");
  writer.text(ip);
  writer.text(exchange.settings.forwardedLines);
  const { head } = exchange;
  if (exchange.form !== "absolute" && head.hostField >= 0) {
    writer.text("X-Forwarded-Host: ");
    writer.copy(head.bytes, head.valueStart(head.hostField), head.valueEnd(head.hostField));
    writer.text("\r\n");
  } else if (exchange.authority !== "") writer.text(`X-Forwarded-Host: ${exchange.authority}\r\n`);
}

/** With trusted proxies: their word is passed on and added to. */
function writeForwardedOn(writer: ByteWriter, exchange: Exchange): void {
  const { head, settings } = exchange;
  const trusted = exchange.fromTrustedProxy;
  const before = trusted ? head.get("x-forwarded-for") : undefined;
  writer.text(`X-Forwarded-For: ${before === undefined ? "" : `${before}, `}${exchange.peerIp}\r\n`);
  writer.text(`X-Real-IP: ${exchange.clientIp}\r\n`);
  if (!trusted || !isPassedOn(head, "x-forwarded-proto")) writer.text(`X-Forwarded-Proto: ${settings.scheme}\r\n`);
  if (!trusted || !isPassedOn(head, "x-forwarded-port")) writer.text(`X-Forwarded-Port: ${settings.port}\r\n`);
  if (!trusted || !isPassedOn(head, "x-forwarded-host")) writer.text(`X-Forwarded-Host: ${exchange.authority}\r\n`);
}

/** Connection may have named it, which takes it away: endpoints must be told all the same. */
function isPassedOn(head: Head, name: string): boolean {
  const field = head.find(name);
  return field >= 0 && !head.isDropped(field);
}

/** RFC 7239: addresses of IPv6 and anything unusual are quoted. */
function forwardedLine(exchange: Exchange): string {
  const ip = exchange.peerIp;
  const node = ip.includes(":") ? `"[${ip}]"` : ip;
  const host = exchange.authority === "" ? "" : `;host="${exchange.authority}"`;
  return `Forwarded: for=${node}${host};proto=${exchange.settings.scheme}\r\n`;
}

function writeRequestIdLine(writer: ByteWriter, exchange: Exchange): void {
  const { id } = exchange;
  if (typeof id === "string") {
    writer.text(`X-Request-ID: ${id}\r\n`);
    return;
  }
  writer.text("X-Request-ID: ");
  writer.reserve(REQUEST_ID_LENGTH);
  writeRequestId(id, writer.bytes, writer.length);
  writer.length += REQUEST_ID_LENGTH;
  writer.text("\r\n");
}

/** Connections to endpoints are kept alive, which HTTP/1.1 need not say; only an upgrade and trailers must be named. */
function writeConnection(writer: ByteWriter, exchange: Exchange): void {
  const { head } = exchange;
  if (exchange.upgrade) {
    writer.text(`Connection: Upgrade\r\nUpgrade: ${head.value(head.upgradeField)}\r\n`);
  } else if (head.acceptsTrailers) writer.text("Connection: TE\r\n");
}
