/** The binary header (section 2.2): 16 fixed bytes, the addresses, then type-length-value entries up to the end. */
import { formatIp } from "../../base/ip.ts";
import { type Malformed, MORE, malformed } from "../outcome.ts";
import { FIXED_BYTES, type ProxyAddresses, type ProxyHeader, SIGNATURE } from "./header.ts";
import { parseTlvs, type TlvValues } from "./parse-tlvs.ts";

const VERSION_AT = SIGNATURE.length;
const FAMILY_AT = VERSION_AT + 1;
const LENGTH_AT = FAMILY_AT + 1;
const LOCAL = 0x20;
const PROXY = 0x21;

interface Kind {
  readonly family: ProxyHeader["family"];
  readonly transport: ProxyHeader["transport"];
  readonly addressBytes: number;
}

const UNSPECIFIED: Kind = { family: "unspecified", transport: "unspecified", addressBytes: 0 };
/** The only combinations of family and transport there are; a byte that is not here is refused. */
const KINDS: ReadonlyMap<number, Kind> = new Map([
  [0x00, UNSPECIFIED],
  [0x11, { family: "ipv4", transport: "stream", addressBytes: 12 }],
  [0x12, { family: "ipv4", transport: "datagram", addressBytes: 12 }],
  [0x21, { family: "ipv6", transport: "stream", addressBytes: 36 }],
  [0x22, { family: "ipv6", transport: "datagram", addressBytes: 36 }],
  [0x31, { family: "unix", transport: "stream", addressBytes: 216 }],
  [0x32, { family: "unix", transport: "datagram", addressBytes: 216 }],
]);
const NO_VALUES: TlvValues = {
  tlvs: [],
  alpn: "",
  authority: "",
  uniqueId: undefined,
  networkNamespace: "",
  ssl: undefined,
};

/** `bytes` begins with the signature, all of it. MORE until the header is there as a whole. */
export function parseVersion2(bytes: Buffer, end: number, maxBytes: number): typeof MORE | Malformed | ProxyHeader {
  if (end <= VERSION_AT) return MORE;
  const versionAndCommand = bytes[VERSION_AT] as number;
  if (versionAndCommand >>> 4 !== 2) return malformed("unknown version of the PROXY header");
  if (versionAndCommand !== LOCAL && versionAndCommand !== PROXY) return malformed("unknown PROXY command");
  if (end <= FAMILY_AT) return MORE;
  // The family of LOCAL says nothing, right or wrong: the whole block is to be skipped.
  const kind = versionAndCommand === LOCAL ? UNSPECIFIED : KINDS.get(bytes[FAMILY_AT] as number);
  if (kind === undefined) return malformed("unknown address family or transport in the PROXY header");
  if (end < FIXED_BYTES) return MORE;
  const length = FIXED_BYTES + bytes.readUInt16BE(LENGTH_AT);
  if (length > maxBytes) return malformed("PROXY header too long");
  if (length < FIXED_BYTES + kind.addressBytes) return malformed("PROXY header too short for its addresses");
  if (end < length) return MORE;

  const base = { version: 2, family: kind.family, transport: kind.transport, length } as const;
  if (versionAndCommand === LOCAL) return { ...base, ...NO_VALUES, command: "local", addresses: undefined };
  const values = parseTlvs(bytes, FIXED_BYTES + kind.addressBytes, length);
  if ("error" in values) return values;
  return { ...base, ...values, command: "proxy", addresses: readAddresses(bytes, kind.family) };
}

/** Undefined for families whose addresses mean nothing here; the receiver may then use the connection's own. */
function readAddresses(bytes: Buffer, family: ProxyHeader["family"]): ProxyAddresses | undefined {
  if (family !== "ipv4" && family !== "ipv6") return undefined;
  const words = family === "ipv4" ? 1 : 4;
  const destinationAt = FIXED_BYTES + words * 4;
  const portsAt = destinationAt + words * 4;
  return {
    sourceIp: readIp(bytes, FIXED_BYTES, words),
    sourcePort: bytes.readUInt16BE(portsAt),
    destinationIp: readIp(bytes, destinationAt, words),
    destinationPort: bytes.readUInt16BE(portsAt + 2),
  };
}

function readIp(bytes: Buffer, at: number, count: 1 | 4): string {
  const words = Array.from({ length: count }, (_, index) => bytes.readUInt32BE(at + index * 4));
  const isMapped = words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
  return formatIp(isMapped ? words.slice(3) : words);
}
