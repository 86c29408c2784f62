/** What is particular about gRPC: its calls have deadlines in a header, and its errors are trailers (grpc.io, PROTOCOL-HTTP2). */
import { ERRORS, type ErrorCode } from "../base/errors.ts";

/** Whether a request is a gRPC call, by its content type. */
export function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?![\w-])/i.test(contentType);
}

const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };

/** `grpc-timeout`: at most eight digits and a unit, in milliseconds. Undefined when there is none or it is not valid. */
export function grpcTimeoutMs(value: string | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value ?? "");
  return match === null ? undefined : Number(match[1]) * (UNITS[match[2] as string] as number);
}

/** What is left of a deadline, as `grpc-timeout` says it: at most eight digits. */
export function grpcTimeout(leftMs: number): string {
  const whole = Math.max(1, Math.floor(leftMs));
  return whole < 100_000_000 ? `${whole}m` : `${Math.floor(whole / 1_000)}S`;
}

/** The gRPC status that clients are told for an error of ours, by the HTTP status that others would get. */
const STATUS: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  405: 12,
  408: 4,
  413: 8,
  429: 8,
  431: 8,
  502: 14,
  503: 14,
  504: 4,
};
const UNKNOWN = 2;

/** Header lines of an answer that is nothing but its status ("Trailers-Only"). */
export function grpcErrorLines(code: ErrorCode): string {
  const { status, message } = ERRORS[code];
  const grpcStatus = STATUS[status] ?? UNKNOWN;
  return `Content-Type: application/grpc\r\ngrpc-status: ${grpcStatus}\r\ngrpc-message: ${encodeMessage(`${message} (${code})`)}\r\n`;
}

/** Percent-encodes what is not printable ASCII, and the percent sign. */
function encodeMessage(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]/g, (character) =>
    [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}
