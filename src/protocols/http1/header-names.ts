/** The headers that a proxy must know, found by hash while the name is being scanned. */
import { TOKEN, UNDERSCORE } from "./characters.ts";

/** Ids of known headers; 0 is every other header. */
export const HEADER = {
  other: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  keepAlive: 5,
  proxyConnection: 6,
  te: 7,
  upgrade: 8,
  expect: 9,
  xForwardedFor: 10,
  xForwardedProto: 11,
  xForwardedHost: 12,
  xForwardedPort: 13,
  xRealIp: 14,
  forwarded: 15,
  via: 16,
  xRequestId: 17,
  proxyAuthenticate: 18,
  proxyAuthorization: 19,
  http2Settings: 20,
  date: 21,
  trailer: 22,
} as const;

const NAMES: readonly string[] = [
  "",
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "upgrade",
  "expect",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-real-ip",
  "forwarded",
  "via",
  "x-request-id",
  "proxy-authenticate",
  "proxy-authorization",
  "http2-settings",
  "date",
  "trailer",
];
const NAME_BYTES = NAMES.map((name) => Buffer.from(name));

/** Set beside an id when the name was written with `_`: it must never be taken for the real header. */
export const ALIAS = 0x100;

/** Hash of a lower-case header name, the same that the parser computes as it scans. */
export function hashHeaderName(name: string): number {
  let hash = 0;
  for (let index = 0; index < name.length; index++) {
    hash = (Math.imul(hash, 31) + (TOKEN[name.charCodeAt(index)] as number)) | 0;
  }
  return hash;
}

const SLOTS = 256;
/** Chosen so that no two of the known names share a slot; a test fails here when a new name does. */
const SPREAD = 0x1fbeaf81;
const SLOT_IDS = slots();

/** The id of the name at `start`..`end` whose hash is known; 0 for headers that are not special, `| ALIAS` with `_`. */
export function headerId(hash: number, bytes: Uint8Array, start: number, end: number): number {
  const id = SLOT_IDS[Math.imul(hash, SPREAD) >>> 24] as number;
  if (id === 0) return 0;
  const name = NAME_BYTES[id] as Buffer;
  if (name.length !== end - start) return 0;
  let alias = 0;
  for (let index = 0; index < name.length; index++) {
    const byte = bytes[start + index] as number;
    if (TOKEN[byte] !== name[index]) return 0;
    if (byte === UNDERSCORE) alias = ALIAS;
  }
  return id | alias;
}

function slots(): Uint8Array {
  const ids = new Uint8Array(SLOTS);
  for (let id = 1; id < NAMES.length; id++) {
    const hash = hashHeaderName(NAMES[id] as string);
    const slot = Math.imul(hash, SPREAD) >>> 24;
    if (ids[slot] !== 0) throw new Error(`header names ${NAMES[id]} and ${NAMES[ids[slot] as number]} share a slot`);
    ids[slot] = id;
  }
  return ids;
}
