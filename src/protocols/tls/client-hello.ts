/**
 * Reads what a TLS client asks for in its first message (RFC 8446 section 4.1.2), so that a connection can be routed
 * without being decrypted. The message may be spread over several records (section 5.1) and arrive in any pieces.
 */
import { type Malformed, MORE, malformed } from "../outcome.ts";
import { type HelloBody, parseHelloBody } from "./client-hello-body.ts";

export interface ClientHello extends HelloBody {
  /** Bytes of all records that make up the message. */
  readonly length: number;
}

/** Records and all. Post-quantum key shares make a few KiB; nothing honest comes near this. */
const MAX_BYTES = 65_536;
/** So that walking over the records stays cheap however often it is done while bytes trickle in. */
const MAX_RECORDS = 1_024;
/** Of plain text in one record (RFC 8446 section 5.1). */
const MAX_FRAGMENT_BYTES = 16_384;
const RECORD_HEADER_BYTES = 5;
const MESSAGE_HEADER_BYTES = 4;
const ALERT = 21;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** The longest method waited for until a space shows that this is HTTP. */
const MAX_METHOD_BYTES = 16;

/** The answer, always this object, for what begins like an HTTP request: worth an answer in plain text. */
export const PLAIN_TEXT = malformed("plain text HTTP where TLS is expected");
const NOT_TLS = malformed("not TLS");

interface Fragment {
  readonly start: number;
  readonly end: number;
}

/**
 * Parses the ClientHello that `bytes` begins with; bytes at `end` and behind are not looked at. The answer does not
 * depend on how the bytes were split. MORE for as long as the message is not complete and nothing in it is wrong yet.
 */
export function parseClientHello(bytes: Buffer, end: number): typeof MORE | Malformed | ClientHello {
  if (end === 0) return MORE;
  if (bytes[0] !== HANDSHAKE) return explain(bytes, end);
  const fragments: Fragment[] = [];
  let position = 0;
  let collected = 0;
  /** Bytes of the whole message, its header included; unknown until that header is there. */
  let wanted = 0;
  for (;;) {
    const fragment = readRecord(bytes, position, end, fragments.length);
    if (fragment === MORE || "error" in fragment) return fragment;
    fragments.push(fragment);
    collected += fragment.end - fragment.start;
    if (wanted === 0) {
      const known = readMessageHeader(bytes, fragments, end);
      if (typeof known !== "number") return known;
      wanted = known;
    }
    // The client has nothing more to say in this flight, so a record cannot go on behind the message.
    if (wanted > 0 && collected > wanted) return malformed("bytes behind the ClientHello in its record");
    if (fragment.end > end) return MORE;
    position = fragment.end;
    if (wanted > 0 && collected === wanted) return finish(bytes, fragments, position);
  }
}

/** Where the record at `position` has its fragment, which may end behind `end`. */
function readRecord(bytes: Buffer, position: number, end: number, count: number): typeof MORE | Malformed | Fragment {
  if (end < position + RECORD_HEADER_BYTES) return MORE;
  if (count === MAX_RECORDS) return malformed("ClientHello in too many records");
  if (bytes[position] !== HANDSHAKE) return malformed("record of another type within the ClientHello");
  // The minor version is not looked at: clients differ, and it means nothing (RFC 8446 section 5.1).
  if (bytes[position + 1] !== 3) return NOT_TLS;
  const length = bytes.readUInt16BE(position + 3);
  if (length === 0 || length > MAX_FRAGMENT_BYTES) return malformed("bad length of a TLS record");
  const start = position + RECORD_HEADER_BYTES;
  return start + length > MAX_BYTES ? malformed("ClientHello too long") : { start, end: start + length };
}

/** Length of the message with its header, whose four bytes may be in records of their own; 0 until they are there. */
function readMessageHeader(bytes: Buffer, fragments: readonly Fragment[], end: number): number | Malformed {
  const head: number[] = [];
  for (const fragment of fragments) {
    for (let at = fragment.start; at < Math.min(fragment.end, end) && head.length < MESSAGE_HEADER_BYTES; at++)
      head.push(bytes[at] as number);
  }
  if (head.length < MESSAGE_HEADER_BYTES) return 0;
  const [type, high, middle, low] = head as [number, number, number, number];
  if (type !== CLIENT_HELLO) return malformed("handshake message other than a ClientHello");
  const wanted = MESSAGE_HEADER_BYTES + (high << 16) + (middle << 8) + low;
  return wanted > MAX_BYTES ? malformed("ClientHello too long") : wanted;
}

function finish(bytes: Buffer, fragments: readonly Fragment[], length: number): Malformed | ClientHello {
  const message =
    fragments.length === 1
      ? bytes.subarray(RECORD_HEADER_BYTES, length)
      : Buffer.concat(fragments.map(({ start, end }) => bytes.subarray(start, end)));
  const body = parseHelloBody(message.subarray(MESSAGE_HEADER_BYTES));
  return "error" in body ? body : { ...body, length };
}

/** What it is when the first byte is not that of a handshake record. */
function explain(bytes: Buffer, end: number): typeof MORE | Malformed {
  const first = bytes[0] as number;
  if (first === ALERT) return malformed("TLS alert instead of a ClientHello");
  if (first >= 0x80) {
    // The header of SSLv2 is a length with the highest bit set; its hello is of type 1 too.
    if (end < 3) return MORE;
    return bytes[2] === CLIENT_HELLO ? malformed("SSLv2 hello") : NOT_TLS;
  }
  for (let at = 0; at < end && at <= MAX_METHOD_BYTES; at++) {
    const byte = bytes[at] as number;
    if (byte === 0x20 && at > 0) return PLAIN_TEXT;
    if (byte < 0x41 || byte > 0x5a) return NOT_TLS;
  }
  return end <= MAX_METHOD_BYTES ? MORE : NOT_TLS;
}
