/** The type-length-value entries of a version 2 header (section 2.2.1 and following): split, checked, and read. */
import { latin1 } from "../../base/bytes.ts";
import { type Malformed, malformed } from "../outcome.ts";
import { crc32c } from "./crc32c.ts";
import type { ProxyHeader, ProxySsl, ProxyTlv } from "./header.ts";
import * as header from "./header.ts";

export type TlvValues = Pick<ProxyHeader, "tlvs" | "alpn" | "authority" | "uniqueId" | "networkNamespace" | "ssl">;

const CHECKSUM_BYTES = 4;
/** Bit field and result of verification, in front of the entries within TLV_SSL. */
const SSL_FIXED_BYTES = 5;
const SSL_OVER_TLS = 0x01;
const SSL_CERTIFICATE_ON_CONNECTION = 0x02;
const SSL_CERTIFICATE_IN_SESSION = 0x04;
const OVERRUN = malformed("PROXY entry longer than what it is in");
const ZEROS = Buffer.alloc(CHECKSUM_BYTES);

/** May stand in a header once: of two, each receiver would pick another. */
const SINGLE: ReadonlySet<number> = new Set([
  header.TLV_ALPN,
  header.TLV_AUTHORITY,
  header.TLV_CRC32C,
  header.TLV_UNIQUE_ID,
  header.TLV_SSL,
  header.TLV_SSL_VERSION,
  header.TLV_SSL_COMMON_NAME,
  header.TLV_SSL_CIPHER,
  header.TLV_SSL_SIGNATURE_ALGORITHM,
  header.TLV_SSL_KEY_ALGORITHM,
  header.TLV_NETWORK_NAMESPACE,
]);

/** Entries of the header that ends at `end`, which `bytes` holds from offset 0 on, beginning at `start`. */
export function parseTlvs(bytes: Buffer, start: number, end: number): Malformed | TlvValues {
  const tlvs = splitTlvs(bytes, start, end);
  if ("error" in tlvs) return tlvs;
  const find = (type: number): Buffer | undefined => tlvs.find((tlv) => tlv.type === type)?.value;
  if (!hasRightChecksum(bytes, start, end, find(header.TLV_CRC32C)))
    return malformed("wrong checksum of the PROXY header");

  const alpn = find(header.TLV_ALPN);
  if (alpn !== undefined && (alpn.length === 0 || alpn.length > header.MAX_ALPN_BYTES))
    return malformed("bad ALPN in the PROXY header");
  const authority = textOf(find(header.TLV_AUTHORITY));
  if (authority === undefined || Buffer.byteLength(authority) > header.MAX_AUTHORITY_BYTES)
    return malformed("bad authority in the PROXY header");
  const uniqueId = find(header.TLV_UNIQUE_ID);
  if (uniqueId !== undefined && uniqueId.length > header.MAX_UNIQUE_ID_BYTES)
    return malformed("unique id in the PROXY header too long");
  const networkNamespace = textOf(find(header.TLV_NETWORK_NAMESPACE));
  if (networkNamespace === undefined) return malformed("bad network namespace in the PROXY header");
  const sslValue = find(header.TLV_SSL);
  const ssl = sslValue === undefined ? undefined : parseSsl(sslValue);
  if (ssl !== undefined && "error" in ssl) return ssl;
  return {
    tlvs,
    alpn: alpn === undefined ? "" : latin1(alpn, 0, alpn.length),
    authority,
    uniqueId,
    networkNamespace,
    ssl,
  };
}

/** The entries must fill the range exactly: bytes left over are an error as well. */
function splitTlvs(bytes: Buffer, start: number, end: number): Malformed | ProxyTlv[] {
  const tlvs: ProxyTlv[] = [];
  for (let at = start; at < end; ) {
    if (end - at < header.TLV_HEADER_BYTES) return OVERRUN;
    const type = bytes[at] as number;
    const valueStart = at + header.TLV_HEADER_BYTES;
    const valueEnd = valueStart + bytes.readUInt16BE(at + 1);
    if (valueEnd > end) return OVERRUN;
    if (SINGLE.has(type) && tlvs.some((tlv) => tlv.type === type)) return malformed("PROXY entry sent twice");
    tlvs.push({ type, value: Buffer.from(bytes.subarray(valueStart, valueEnd)) });
    at = valueEnd;
  }
  return tlvs;
}

/** The checksum is over the whole header with zeros in the place of the checksum (section 2.2.3). */
function hasRightChecksum(bytes: Buffer, start: number, end: number, value: Buffer | undefined): boolean {
  if (value === undefined) return true;
  if (value.length !== CHECKSUM_BYTES) return false;
  let at = start;
  while (bytes[at] !== header.TLV_CRC32C) at += header.TLV_HEADER_BYTES + bytes.readUInt16BE(at + 1);
  at += header.TLV_HEADER_BYTES;
  const withZeros = crc32c(ZEROS, 0, CHECKSUM_BYTES, crc32c(bytes, 0, at));
  return crc32c(bytes, at + CHECKSUM_BYTES, end, withZeros) === value.readUInt32BE(0);
}

function parseSsl(value: Buffer): Malformed | ProxySsl {
  if (value.length < SSL_FIXED_BYTES) return malformed("TLS entry of the PROXY header too short");
  const tlvs = splitTlvs(value, SSL_FIXED_BYTES, value.length);
  if ("error" in tlvs) return tlvs;
  const text = (type: number): string | undefined => textOf(tlvs.find((tlv) => tlv.type === type)?.value);
  const version = text(header.TLV_SSL_VERSION);
  const commonName = text(header.TLV_SSL_COMMON_NAME);
  const cipher = text(header.TLV_SSL_CIPHER);
  const signatureAlgorithm = text(header.TLV_SSL_SIGNATURE_ALGORITHM);
  const keyAlgorithm = text(header.TLV_SSL_KEY_ALGORITHM);
  if (
    version === undefined ||
    commonName === undefined ||
    cipher === undefined ||
    signatureAlgorithm === undefined ||
    keyAlgorithm === undefined
  )
    return malformed("bad text in the TLS entry of the PROXY header");
  const client = value[0] as number;
  return {
    overTls: (client & SSL_OVER_TLS) !== 0,
    certificateOnConnection: (client & SSL_CERTIFICATE_ON_CONNECTION) !== 0,
    certificateInSession: (client & SSL_CERTIFICATE_IN_SESSION) !== 0,
    verifyResult: value.readUInt32BE(1),
    version,
    commonName,
    cipher,
    signatureAlgorithm,
    keyAlgorithm,
  };
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * UTF-8 without control characters, since these texts come to logs and headers; "" when there is no value, undefined for
 * anything else.
 */
function textOf(value: Buffer | undefined): string | undefined {
  if (value === undefined) return "";
  try {
    const text = decoder.decode(value);
    return /\p{Cc}/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
