/** Reads the PROXY protocol header at the start of a connection, version 1 or 2, over pieces of any size. */
import { latin1 } from "../../base/bytes.ts";
import { formatIp, parseIp, parseIpv4 } from "../../base/ip.ts";
import { type Malformed, MORE, malformed } from "../outcome.ts";
import { type ProxyHeader, SIGNATURE } from "./header.ts";
import { parseVersion2 } from "./parse-v2.ts";

/** Line break included (section 2.1). */
const MAX_VERSION_1_BYTES = 107;
const DEFAULT_MAX_BYTES = 4_096;
const PREFIX = Buffer.from("PROXY ");
const CR = 0x0d;
const LF = 0x0a;

export interface AcceptedVersions {
  readonly v1: boolean;
  readonly v2: boolean;
}

/**
 * Parses the header that `bytes` begins with; bytes at `end` and behind are not looked at. The answer does not depend on
 * how the bytes were split, and wrong ones are told as soon as they show. Whether the sender may be believed at all is
 * for the caller to know beforehand. A version 2 header longer than `maxBytes` is refused before it is waited for.
 */
export function parseProxyHeader(
  bytes: Buffer,
  end: number,
  accepts: AcceptedVersions,
  maxBytes: number = DEFAULT_MAX_BYTES,
): typeof MORE | Malformed | ProxyHeader {
  if (end === 0) return MORE;
  if (bytes[0] === PREFIX[0]) {
    if (!startsLike(bytes, end, PREFIX)) return malformed("no PROXY header");
    if (end < PREFIX.length) return MORE;
    return accepts.v1 ? parseVersion1(bytes, end) : malformed("PROXY version 1 is not accepted here");
  }
  if (!startsLike(bytes, end, SIGNATURE)) return malformed("no PROXY header");
  if (end < SIGNATURE.length) return MORE;
  return accepts.v2 ? parseVersion2(bytes, end, maxBytes) : malformed("PROXY version 2 is not accepted here");
}

/** Whether as many of the expected bytes as are there agree. */
function startsLike(bytes: Buffer, end: number, expected: Buffer): boolean {
  const length = Math.min(end, expected.length);
  return bytes.compare(expected, 0, length, 0, length) === 0;
}

function parseVersion1(bytes: Buffer, end: number): typeof MORE | Malformed | ProxyHeader {
  const limit = Math.min(end, MAX_VERSION_1_BYTES);
  for (let at = PREFIX.length; at < limit; at++) {
    if (bytes[at] === LF) return malformed("line feed without carriage return in the PROXY line");
    if (bytes[at] !== CR) continue;
    if (at + 1 === limit) break;
    if (bytes[at + 1] !== LF) return malformed("carriage return without line feed in the PROXY line");
    return parseLine(latin1(bytes, 0, at), at + 2);
  }
  return end < MAX_VERSION_1_BYTES ? MORE : malformed("PROXY line longer than 107 bytes");
}

function parseLine(line: string, length: number): Malformed | ProxyHeader {
  const [, protocol, source = "", destination = "", ...ports] = line.split(" ");
  // Whatever follows UNKNOWN must be ignored, so there may be any number of words.
  if (protocol === "UNKNOWN") return headerOf("unspecified", undefined, length);
  if (protocol !== "TCP4" && protocol !== "TCP6") return malformed("unknown protocol in the PROXY line");
  if (ports.length !== 2) return malformed("wrong number of words in the PROXY line");
  const family = protocol === "TCP4" ? "ipv4" : "ipv6";
  const sourceIp = canonicalIp(source, family);
  const destinationIp = canonicalIp(destination, family);
  if (sourceIp === undefined || destinationIp === undefined) return malformed("bad address in the PROXY line");
  const sourcePort = parsePort(ports[0] as string);
  const destinationPort = parsePort(ports[1] as string);
  if (sourcePort === undefined || destinationPort === undefined) return malformed("bad port in the PROXY line");
  return headerOf(family, { sourceIp, sourcePort, destinationIp, destinationPort }, length);
}

function canonicalIp(text: string, family: "ipv4" | "ipv6"): string | undefined {
  // The protocol names the family: `1.2.3.4` in a TCP6 line is an error, not a guess.
  if (family === "ipv4") return parseIpv4(text) === undefined ? undefined : text;
  const address = text.includes(":") ? parseIp(text) : undefined;
  return address === undefined ? undefined : formatIp(address);
}

function parsePort(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port > 65_535 ? undefined : port;
}

function headerOf(family: ProxyHeader["family"], addresses: ProxyHeader["addresses"], length: number): ProxyHeader {
  return {
    version: 1,
    command: "proxy",
    family,
    transport: addresses === undefined ? "unspecified" : "stream",
    addresses,
    tlvs: [],
    alpn: "",
    authority: "",
    uniqueId: undefined,
    networkNamespace: "",
    ssl: undefined,
    length,
  };
}
