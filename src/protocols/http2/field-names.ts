/** The field names that HTTP/2 has rules for, and which bytes names and values are made of (RFC 9113 section 8.2.1). */
import { SPACE, TAB, TOKEN, VALUE } from "../http1/characters.ts";
import { HEADER, hashHeaderName, headerId } from "../http1/header-names.ts";

const COLON = 0x3a;

/**
 * Ids of known fields; 0 is every other field. Fields that HTTP/1.1 has too keep their id of HEADER, with ALIAS set when
 * they were written with underscores.
 */
export const FIELD = {
  ...HEADER,
  cookie: 0x40,
  authority: 0x41,
  method: 0x42,
  path: 0x43,
  scheme: 0x44,
  status: 0x45,
  protocol: 0x46,
  unknownPseudo: 0x47,
} as const;

/** Ids from here on are pseudo-header fields. */
export const FIRST_PSEUDO = FIELD.authority;

// What is known of a field, in one number: its id, and these.
export const ID_MASK = 0x1ff;
/** The name is empty, has upper-case letters, or bytes that no name has. */
export const BAD_NAME = 0x200;
/** The value has control bytes, or begins or ends with white space. */
export const BAD_VALUE = 0x400;
/** The sender wants it never to be put in a table, here and on every further hop (RFC 7541 section 6.2.3). */
export const NEVER_INDEXED = 0x800;

/** Bytes of a name as it must be sent in HTTP/2, in lower case: 0 for all others, else the same as in TOKEN. */
const NAME = TOKEN.map((folded, byte) => (byte >= 0x41 && byte <= 0x5a ? 0 : folded));

interface KnownName {
  readonly id: number;
  readonly bytes: Buffer;
}
const known = (name: string, id: number): KnownName => ({ id, bytes: Buffer.from(name) });
const COOKIE = known("cookie", FIELD.cookie);
const COOKIE_HASH = hashHeaderName("cookie");
const PSEUDO: readonly KnownName[] = [
  known(":authority", FIELD.authority),
  known(":method", FIELD.method),
  known(":path", FIELD.path),
  known(":scheme", FIELD.scheme),
  known(":status", FIELD.status),
  known(":protocol", FIELD.protocol),
];

/** Hash of the name at `start`..`end`, the same for every spelling: `hashHeaderName` of what follows a leading colon. */
export function nameHash(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let cursor = start; cursor < end; cursor++) {
    hash = (Math.imul(hash, 31) + (TOKEN[bytes[cursor] as number] as number)) | 0;
  }
  return hash;
}

/** The id of the name at `start`..`end` whose hash is known, with BAD_NAME set if it breaks the rules for names. */
export function classifyName(bytes: Uint8Array, start: number, end: number, hash: number): number {
  if (start === end) return BAD_NAME;
  const pseudo = bytes[start] === COLON;
  for (let cursor = pseudo ? start + 1 : start; cursor < end; cursor++) {
    if (NAME[bytes[cursor] as number] === 0) return BAD_NAME;
  }
  if (pseudo) return pseudoId(bytes, start, end);
  if (hash === COOKIE_HASH && same(bytes, start, end, COOKIE.bytes)) return COOKIE.id;
  return headerId(hash, bytes, start, end);
}

/** BAD_VALUE if the value at `start`..`end` breaks the rules for values, else 0. */
export function classifyValue(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return 0;
  for (let cursor = start; cursor < end; cursor++) {
    if (VALUE[bytes[cursor] as number] === 0) return BAD_VALUE;
  }
  return isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number) ? BAD_VALUE : 0;
}

/** Whether the bytes from `start` to `end` are exactly `wanted`. */
export function same(bytes: Uint8Array, start: number, end: number, wanted: Uint8Array): boolean {
  if (end - start !== wanted.length) return false;
  for (let index = 0; index < wanted.length; index++) {
    if (bytes[start + index] !== wanted[index]) return false;
  }
  return true;
}

function pseudoId(bytes: Uint8Array, start: number, end: number): number {
  for (const { id, bytes: name } of PSEUDO) {
    if (same(bytes, start, end, name)) return id;
  }
  return FIELD.unknownPseudo;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}
