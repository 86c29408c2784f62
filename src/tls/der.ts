/** Writes the few DER types (ITU-T X.690) that certificates and requests for them are made of. */

/** One whole DER value: tag, length and content. */
export type Der = Uint8Array;

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** UTCTime has two digits for the year; RFC 5280, section 4.1.2.5 wants it up to 2049 and GeneralizedTime from then on. */
const FIRST_GENERALIZED_YEAR = 2050;

export function sequence(...items: readonly Der[]): Der {
  return value(TAG.sequence, Buffer.concat(items));
}

/** A set of one item. DER sorts sets of several, which nothing here needs. */
export function setOf(item: Der): Der {
  return value(TAG.set, item);
}

/** A non-negative INTEGER from its bytes, most significant first. */
export function integer(bytes: Uint8Array): Der {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.length === 0 ? Uint8Array.of(0) : bytes.subarray(start);
  // A leading one bit would make it negative.
  return value(TAG.integer, (digits[0] as number) >= 0x80 ? Buffer.concat([Uint8Array.of(0), digits]) : digits);
}

/** `"1.2.840.10045.2.1"`. */
export function objectIdentifier(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return value(TAG.oid, Uint8Array.from([first * 40 + second, ...rest].flatMap(base128)));
}

export function utf8String(text: string): Der {
  return value(TAG.utf8String, Buffer.from(text));
}

export function octetString(bytes: Uint8Array): Der {
  return value(TAG.octetString, bytes);
}

/** A BIT STRING; `unusedBits` are the low bits of the last byte that do not count. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Der {
  return value(TAG.bitString, Buffer.concat([Uint8Array.of(unusedBits), bytes]));
}

export function boolean(truth: boolean): Der {
  return value(TAG.boolean, Uint8Array.of(truth ? 0xff : 0));
}

/** Whole seconds; what is left of `epochMs` is cut off. */
export function time(epochMs: number): Der {
  const date = new Date(epochMs);
  const digits = `${date.toISOString().slice(0, 19).replaceAll(/[-T:]/g, "")}Z`;
  return date.getUTCFullYear() < FIRST_GENERALIZED_YEAR
    ? value(TAG.utcTime, Buffer.from(digits.slice(2)))
    : value(TAG.generalizedTime, Buffer.from(digits));
}

/** `[number] EXPLICIT`, and IMPLICIT for constructed types: the tag stands around, or instead of, what it holds. */
export function contextConstructed(number: number, content: Uint8Array): Der {
  return value(0xa0 | number, content);
}

/** `[number] IMPLICIT` of a primitive type. */
export function contextPrimitive(number: number, content: Uint8Array): Der {
  return value(0x80 | number, content);
}

/** DER as PEM (RFC 7468): 64 characters a line. */
export function toPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function value(tag: number, content: Uint8Array): Der {
  return Buffer.concat([Uint8Array.of(tag), lengthOf(content.length), content]);
}

function lengthOf(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.of(0x80 | bytes.length, ...bytes);
}

function base128(part: number): number[] {
  const bytes = [part % 128];
  for (let rest = Math.floor(part / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift(0x80 | (rest % 128));
  return bytes;
}
