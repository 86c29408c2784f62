/** Writes the PROXY protocol header that goes in front of a connection to an endpoint. */
import { type Address, formatIp, parseIp } from "../../base/ip.ts";
import { crc32c } from "./crc32c.ts";
import {
  FIXED_BYTES,
  MAX_ALPN_BYTES,
  MAX_AUTHORITY_BYTES,
  MAX_UNIQUE_ID_BYTES,
  type ProxyAddresses,
  type ProxyTlv,
  SIGNATURE,
  TLV_ALPN,
  TLV_AUTHORITY,
  TLV_CRC32C,
  TLV_HEADER_BYTES,
  TLV_NOOP,
  TLV_UNIQUE_ID,
} from "./header.ts";

/** Where the header is put: behind `length`, which moves on. A `ByteWriter` is one. */
export interface HeaderTarget {
  bytes: Buffer;
  length: number;
  /** Makes room for `count` more bytes; may replace `bytes`. */
  reserve(count: number): void;
}

export interface OutgoingHeader {
  /** Of the client's connection; undefined for one of our own, such as a health check (LOCAL). */
  readonly addresses: ProxyAddresses | undefined;
  /** `stream` unless said otherwise. */
  readonly transport?: "stream" | "datagram";
  /** One character per byte, at most 255. */
  readonly alpn?: string;
  /** At most 255 bytes of UTF-8. */
  readonly authority?: string;
  /** At most 128 bytes. */
  readonly uniqueId?: Buffer;
  readonly checksum?: boolean;
  /** What the client's own PROXY header brought, to be passed on. Entries set above take the place of those in here. */
  readonly received?: readonly ProxyTlv[];
}

const CHECKSUM_BYTES = 4;
const MAX_LENGTH_FIELD = 0xffff;
const LOCAL = 0x20;
const PROXY = 0x21;
/** Of an IPv4 address written as IPv6. */
const MAPPED: Address = [0, 0, 0xffff];

interface Pair {
  readonly source: Address;
  readonly destination: Address;
}

/**
 * Appends the text form (section 2.1); without addresses that is `PROXY UNKNOWN`. False, and nothing is written, when
 * an address or port is none.
 */
export function writeProxyHeaderV1(target: HeaderTarget, addresses: ProxyAddresses | undefined): boolean {
  let line = "PROXY UNKNOWN\r\n";
  if (addresses !== undefined) {
    const pair = parsePair(addresses);
    if (pair === undefined) return false;
    const ips = `${ipText(pair.source, pair)} ${ipText(pair.destination, pair)}`;
    const protocol = isIpv4(pair) ? "TCP4" : "TCP6";
    line = `PROXY ${protocol} ${ips} ${addresses.sourcePort} ${addresses.destinationPort}\r\n`;
  }
  target.reserve(line.length);
  target.length += target.bytes.write(line, target.length, "latin1");
  return true;
}

/**
 * Appends the binary form (section 2.2). False, and nothing is written, when an address or port is none, a value is
 * longer than allowed, or all together would be longer than a header can be (65,551 bytes).
 */
export function writeProxyHeaderV2(target: HeaderTarget, header: OutgoingHeader): boolean {
  const { addresses, transport = "stream" } = header;
  const pair = addresses === undefined ? undefined : parsePair(addresses);
  if (addresses !== undefined && pair === undefined) return false;
  const tlvs = entriesOf(header);
  if (tlvs === undefined) return false;
  const addressBytes = pair === undefined ? 0 : isIpv4(pair) ? 12 : 36;
  const length = tlvs.reduce((sum, tlv) => sum + TLV_HEADER_BYTES + tlv.value.length, addressBytes);
  if (length > MAX_LENGTH_FIELD) return false;

  target.reserve(FIXED_BYTES + length);
  const { bytes, length: start } = target;
  let at = start + SIGNATURE.copy(bytes, start);
  at = bytes.writeUInt8(pair === undefined ? LOCAL : PROXY, at);
  const family = pair === undefined ? 0 : isIpv4(pair) ? 0x10 : 0x20;
  at = bytes.writeUInt8(pair === undefined ? 0 : family | (transport === "stream" ? 1 : 2), at);
  at = bytes.writeUInt16BE(length, at);
  if (pair !== undefined && addresses !== undefined) {
    for (const word of [...wireWords(pair.source, pair), ...wireWords(pair.destination, pair)])
      at = bytes.writeUInt32BE(word, at);
    at = bytes.writeUInt16BE(addresses.sourcePort, at);
    at = bytes.writeUInt16BE(addresses.destinationPort, at);
  }
  for (const { type, value } of tlvs) {
    at = bytes.writeUInt8(type, at);
    at = bytes.writeUInt16BE(value.length, at);
    at += value.copy(bytes, at);
  }
  // The checksum comes last and counts itself as zeros.
  if (header.checksum === true) bytes.writeUInt32BE(crc32c(bytes, start, at), at - CHECKSUM_BYTES);
  target.length = at;
  return true;
}

/** Undefined when one of them is too long. */
function entriesOf({ alpn, authority, uniqueId, checksum, received }: OutgoingHeader): ProxyTlv[] | undefined {
  const own: ProxyTlv[] = [];
  if (alpn !== undefined) own.push({ type: TLV_ALPN, value: Buffer.from(alpn, "latin1") });
  if (authority !== undefined) own.push({ type: TLV_AUTHORITY, value: Buffer.from(authority) });
  if (uniqueId !== undefined) own.push({ type: TLV_UNIQUE_ID, value: uniqueId });
  for (const { type, value } of own) {
    const limit =
      type === TLV_ALPN ? MAX_ALPN_BYTES : type === TLV_AUTHORITY ? MAX_AUTHORITY_BYTES : MAX_UNIQUE_ID_BYTES;
    if (value.length === 0 || value.length > limit) return undefined;
  }
  // Padding was for the sender before us, and its checksum is over another header.
  const replaced = new Set([TLV_NOOP, TLV_CRC32C, ...own.map(({ type }) => type)]);
  const entries = [...own, ...(received ?? []).filter(({ type }) => !replaced.has(type))];
  if (checksum === true) entries.push({ type: TLV_CRC32C, value: Buffer.alloc(CHECKSUM_BYTES) });
  return entries;
}

function parsePair({ sourceIp, sourcePort, destinationIp, destinationPort }: ProxyAddresses): Pair | undefined {
  const source = parseIp(sourceIp);
  const destination = parseIp(destinationIp);
  if (source === undefined || destination === undefined) return undefined;
  return isPort(sourcePort) && isPort(destinationPort) ? { source, destination } : undefined;
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 65_535;
}

function isIpv4({ source, destination }: Pair): boolean {
  return source.length === 1 && destination.length === 1;
}

/** Both addresses have one family on the wire: beside IPv6, IPv4 is written in its mapped form. */
function wireWords(address: Address, pair: Pair): Address {
  return isIpv4(pair) || address.length === 4 ? address : [...MAPPED, ...address];
}

function ipText(address: Address, pair: Pair): string {
  return isIpv4(pair) || address.length === 4 ? formatIp(address) : `::ffff:${formatIp(address)}`;
}
