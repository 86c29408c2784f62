/** The fields of a ClientHello that is there as a whole, without its headers. Lengths must add up exactly. */
import { latin1 } from "../../base/bytes.ts";
import { parseIp } from "../../base/ip.ts";
import { type Malformed, malformed } from "../outcome.ts";

export interface HelloBody {
  /** Lower case; "" when the client named none, or an IP address, which is no name (RFC 6066 section 3). */
  readonly serverName: string;
  /** In the client's order, one character per byte; GREASE values (RFC 8701) are left out. */
  readonly alpn: readonly string[];
  /** Of supported_versions (0x0304 is TLS 1.3), without GREASE; empty when the extension is not there. */
  readonly versions: readonly number[];
  /** The version field of the message itself: the highest one offered when `versions` is empty. */
  readonly legacyVersion: number;
}

const RANDOM_BYTES = 32;
const MAX_SESSION_ID_BYTES = 32;
const SERVER_NAME = 0;
const ALPN = 16;
const SUPPORTED_VERSIONS = 43;
const HOST_NAME = 0;
const MAX_NAME_BYTES = 255;
/**
 * Labels of letters, digits and hyphens; the underscore is no letter of host names, but stands in names that are in use.
 * A dot at the end is not allowed (RFC 6066 section 3).
 */
const NAME = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

const TRUNCATED = malformed("length in the ClientHello wrong");
const BAD_SERVER_NAME = malformed("bad server name in the ClientHello");
const BAD_ALPN = malformed("bad ALPN list in the ClientHello");
const BAD_VERSIONS = malformed("bad version list in the ClientHello");

/** Goes over a range; every take that does not fit fails, and so do all after it. */
class Reader {
  failed = false;
  readonly bytes: Buffer;
  #position: number;
  readonly #end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.#position = start;
    this.#end = end;
  }

  get atEnd(): boolean {
    return this.failed || this.#position === this.#end;
  }

  get remaining(): number {
    return this.failed ? 0 : this.#end - this.#position;
  }

  uint8(): number {
    const at = this.#take(1);
    return this.failed ? 0 : (this.bytes[at] as number);
  }

  uint16(): number {
    const at = this.#take(2);
    return this.failed ? 0 : this.bytes.readUInt16BE(at);
  }

  /** The next `count` bytes, as a reader of their own. */
  range(count: number): Reader {
    const at = this.#take(count);
    const inner = new Reader(this.bytes, at, this.failed ? at : at + count);
    inner.failed = this.failed;
    return inner;
  }

  /** The rest, one character per byte. */
  text(): string {
    return this.failed ? "" : latin1(this.bytes, this.#position, this.#end);
  }

  #take(count: number): number {
    const at = this.#position;
    if (count > this.#end - at) this.failed = true;
    if (!this.failed) this.#position += count;
    return at;
  }
}

/** `bytes` is exactly the body. */
export function parseHelloBody(bytes: Buffer): Malformed | HelloBody {
  const reader = new Reader(bytes, 0, bytes.length);
  const legacyVersion = reader.uint16();
  reader.range(RANDOM_BYTES);
  const sessionId = reader.range(reader.uint8());
  const cipherSuites = reader.range(reader.uint16());
  const compressions = reader.range(reader.uint8());
  if (reader.failed || sessionId.remaining > MAX_SESSION_ID_BYTES) return TRUNCATED;
  if (cipherSuites.remaining < 2 || cipherSuites.remaining % 2 !== 0 || compressions.remaining === 0) return TRUNCATED;
  if (legacyVersion >>> 8 !== 3) return malformed("version of the ClientHello unknown");
  // Clients of TLS 1.2 and before may send no extensions at all, not even their length.
  if (reader.atEnd) return { serverName: "", alpn: [], versions: [], legacyVersion };
  const extensions = reader.range(reader.uint16());
  if (reader.failed || !reader.atEnd) return TRUNCATED;
  return parseExtensions(extensions, legacyVersion);
}

function parseExtensions(extensions: Reader, legacyVersion: number): Malformed | HelloBody {
  let serverName: string | Malformed = "";
  let alpn: readonly string[] | Malformed = [];
  let versions: readonly number[] | Malformed = [];
  const seen = new Set<number>();
  while (!extensions.atEnd) {
    const type = extensions.uint16();
    const extension = extensions.range(extensions.uint16());
    if (extensions.failed) return TRUNCATED;
    if (seen.has(type)) return malformed("extension twice in the ClientHello");
    seen.add(type);
    if (type === SERVER_NAME) serverName = parseServerName(extension);
    else if (type === ALPN) alpn = parseAlpn(extension);
    else if (type === SUPPORTED_VERSIONS) versions = parseVersions(extension);
  }
  if (typeof serverName !== "string") return serverName;
  if ("error" in alpn) return alpn;
  if ("error" in versions) return versions;
  return { serverName, alpn, versions, legacyVersion };
}

/** One entry of type host_name: no other type was ever defined, and two names could be read as either. */
function parseServerName(extension: Reader): string | Malformed {
  const list = extension.range(extension.uint16());
  const type = list.uint8();
  const name = list.range(list.uint16());
  const isWhole = extension.atEnd && list.atEnd && !extension.failed && !list.failed;
  if (!isWhole || type !== HOST_NAME) return BAD_SERVER_NAME;
  if (name.remaining === 0 || name.remaining > MAX_NAME_BYTES) return BAD_SERVER_NAME;
  const text = name.text().toLowerCase();
  // `127.1` is an address to some readers: what ends in a number is no name.
  if (parseIp(text) !== undefined || /(?:^|\.)\d+$/.test(text)) return "";
  return NAME.test(text) ? text : BAD_SERVER_NAME;
}

/** RFC 7301 section 3.1. */
function parseAlpn(extension: Reader): readonly string[] | Malformed {
  const list = extension.range(extension.uint16());
  if (extension.failed || !extension.atEnd || list.atEnd) return BAD_ALPN;
  const names: string[] = [];
  while (!list.atEnd) {
    const name = list.range(list.uint8()).text();
    if (name === "") return BAD_ALPN;
    if (!(name.length === 2 && isGrease((name.charCodeAt(0) << 8) | name.charCodeAt(1)))) names.push(name);
  }
  return names;
}

/** RFC 8446 section 4.2.1. */
function parseVersions(extension: Reader): readonly number[] | Malformed {
  const list = extension.range(extension.uint8());
  if (extension.failed || !extension.atEnd || list.atEnd || list.remaining % 2 !== 0) return BAD_VERSIONS;
  const versions: number[] = [];
  while (!list.atEnd) {
    const version = list.uint16();
    if (!isGrease(version)) versions.push(version);
  }
  return versions;
}

/** 0x0a0a, 0x1a1a, ... 0xfafa: sent so that servers stay used to what they do not know (RFC 8701). */
function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >>> 8 === (value & 0xff);
}
