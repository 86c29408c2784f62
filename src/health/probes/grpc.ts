import { formatAddress } from "../../base/address.ts";
import type { GrpcCheck } from "../schema.ts";
import type { Probe } from "./definition.ts";
import { exchangeBytes, type Judge } from "./exchange-bytes.ts";
import { Http2Answer, http2Request } from "./http2-exchange.ts";

const PATH = "/grpc.health.v1.Health/Check";
/** Before each message: whether it is compressed, and its length in four bytes. */
const MESSAGE_HEADER_BYTES = 5;
const SERVING = 1;
const STATUS_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const OK = 0;
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

/** Asks grpc.health.v1.Health/Check (grpc.io, "GRPC Health Checking Protocol"), over HTTP/2 whatever the pool speaks. */
export const grpcProbe: Probe<GrpcCheck> = (target, config, { timers }) => {
  const fields: [string, string][] = [
    [":method", "POST"],
    [":scheme", target.tls === undefined ? "http" : "https"],
    [":path", PATH],
    [":authority", config.host ?? formatAddress(target)],
    ["te", "trailers"],
    ["content-type", "application/grpc"],
    ["user-agent", "evenkeel-health"],
  ];
  const request = http2Request(fields, encodeRequest(config.service));
  return exchangeBytes(target, request, judge(config.service), config.timeout, timers);
};

function judge(service: string): Judge {
  return (received) => {
    const answer = new Http2Answer(received);
    if (answer.problem !== undefined) return { failed: answer.problem };
    if (answer.status !== 0 && answer.status !== 200) return { failed: `status ${answer.status}` };
    if (!answer.ended) return undefined;
    const status = Number(answer.fields.get("grpc-status") ?? Number.NaN);
    if (status !== OK) return { failed: describe(status, service, answer.fields.get("grpc-message")) };
    const serving = decodeResponse(answer.body);
    if (serving === undefined) return { failed: "the answer is not a HealthCheckResponse" };
    return serving === SERVING ? {} : { failed: `the endpoint is ${STATUS_NAMES[serving] ?? serving}` };
  };
}

function describe(status: number, service: string, message: string | undefined): string {
  if (Number.isNaN(status)) return "the answer has no grpc-status";
  if (status === UNIMPLEMENTED) return "the endpoint does not offer grpc.health.v1.Health";
  if (status === NOT_FOUND) return `the endpoint does not know the service ${JSON.stringify(service)}`;
  return `grpc-status ${status}${message === undefined ? "" : `: ${message.slice(0, 200)}`}`;
}

/** `HealthCheckRequest`: field 1 is the service, a text. In protobuf what is empty is left out. */
export function encodeRequest(service: string): Buffer {
  const text = Buffer.from(service);
  const message = text.length === 0 ? text : Buffer.concat([Buffer.from([0x0a, ...varint(text.length)]), text]);
  const header = Buffer.alloc(MESSAGE_HEADER_BYTES);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

/** The status in a `HealthCheckResponse` (field 1, a number), 0 when it is left out; undefined for what is not one. */
export function decodeResponse(body: Buffer): number | undefined {
  if (body.length < MESSAGE_HEADER_BYTES || body[0] !== 0) return undefined;
  const end = MESSAGE_HEADER_BYTES + body.readUInt32BE(1);
  if (end !== body.length) return undefined;
  let status = 0;
  for (let at = MESSAGE_HEADER_BYTES; at < end; ) {
    const tag = readVarint(body, at);
    if (tag === undefined) return undefined;
    const value = readVarint(body, tag.next);
    if (value === undefined) return undefined;
    if (tag.value === 0x08) status = value.value;
    // Fields that came later: a number, or bytes with their length before them.
    at = (tag.value & 7) === 0 ? value.next : value.next + value.value;
    if ((tag.value & 7) !== 0 && (tag.value & 7) !== 2) return undefined;
  }
  return status;
}

/** Seven bits a byte, the lowest first; the highest bit says that more follow. */
function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

function readVarint(bytes: Buffer, start: number): { value: number; next: number } | undefined {
  let value = 0;
  for (let at = start; at < Math.min(bytes.length, start + 5); at++) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * 2 ** (7 * (at - start));
    if (byte < 0x80) return { value, next: at + 1 };
  }
  return undefined;
}
