/** WebSocket as an endpoint of the chaos run speaks it (RFC 6455): every message comes back as it was sent. */
import { createHash } from "node:crypto";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const OPCODE = 0x0f;
const CLOSE = 0x8;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const MASK_BYTES = 4;

/** The key that a request for a WebSocket brings along; undefined when it is none. */
export function keyIn(head: string): string | undefined {
  return /^upgrade: *websocket$/im.test(head) ? /^sec-websocket-key: *(\S+)$/im.exec(head)?.[1] : undefined;
}

export function acceptKey(key: string): string {
  return createHash("sha1").update(`${key}${GUID}`).digest("base64");
}

/** Answers the whole frames at the beginning of `bytes`, and says what is left and whether one was the last. */
export function echoFrames(bytes: Buffer): { answer: Buffer; rest: Buffer; isOver: boolean } {
  const answers: Buffer[] = [];
  let rest = bytes;
  for (;;) {
    const frame = takeFrame(rest);
    if (frame === undefined) return { answer: Buffer.concat(answers), rest, isOver: false };
    answers.push(frame.head, frame.payload);
    rest = frame.rest;
    if (((frame.head[0] as number) & OPCODE) === CLOSE) return { answer: Buffer.concat(answers), rest, isOver: true };
  }
}

/** A client's frame, unmasked. `head` is what its answer begins with: the same without the mask. */
function takeFrame(bytes: Buffer): { head: Buffer; payload: Buffer; rest: Buffer } | undefined {
  if (bytes.length < 2) return undefined;
  const short = (bytes[1] as number) & 0x7f;
  const headBytes = short === LENGTH_64 ? 10 : short === LENGTH_16 ? 4 : 2;
  if (bytes.length < headBytes + MASK_BYTES) return undefined;
  const length =
    short === LENGTH_64 ? Number(bytes.readBigUInt64BE(2)) : short === LENGTH_16 ? bytes.readUInt16BE(2) : short;
  const start = headBytes + MASK_BYTES;
  if (bytes.length < start + length) return undefined;
  const head = Buffer.from(bytes.subarray(0, headBytes));
  head[1] = short;
  const payload = Buffer.from(bytes.subarray(start, start + length));
  for (let index = 0; index < length; index++)
    payload[index] = (payload[index] as number) ^ (bytes[headBytes + (index % MASK_BYTES)] as number);
  return { head, payload, rest: bytes.subarray(start + length) };
}
