/** An array of struct mmsghdr (recvmmsg(2), sendmmsg(2)) with room for an address, a control message and a datagram each. */
import { ptr } from "bun:ffi";
import { endianness } from "node:os";
import { EvenkeelError } from "../base/errors.ts";

/** Datagrams that are received or sent by one call. */
export const BATCH = 64;
/** No datagram is longer. */
export const SLOT_BYTES = 65_536;
const HEADER_WORDS = 16;
const NAME_WORDS = 8;
const CONTROL_WORDS = 16;
const CONTROL_BYTES = CONTROL_WORDS * 4;
const NAME_BYTES = 28;

// Offsets in a header, in words.
const NAME = 0;
const NAME_LENGTH = 2;
const VECTOR = 4;
const VECTOR_COUNT = 6;
const CONTROL = 8;
const CONTROL_LENGTH = 10;
const FLAGS = 12;
const LENGTH = 14;

const MSG_TRUNC = 0x20;

export class MessageVector {
  readonly headersAddress: number;
  /** Addresses, `nameAt(slot)` each. */
  readonly names = words(BATCH * NAME_WORDS);
  readonly controls = words(BATCH * CONTROL_WORDS);
  readonly payload = new Uint8Array(new ArrayBuffer(BATCH * SLOT_BYTES));
  readonly #headers = words(BATCH * HEADER_WORDS);
  readonly #vectors = words(BATCH * 4);
  readonly #payloadAddress: number;

  constructor() {
    if (endianness() !== "LE") throw new EvenkeelError("UDP listeners need a little-endian machine");
    this.headersAddress = ptr(this.#headers);
    this.#payloadAddress = ptr(this.payload);
    const [names, controls, vectors] = [ptr(this.names), ptr(this.controls), ptr(this.#vectors)];
    for (let slot = 0; slot < BATCH; slot++) {
      const at = slot * HEADER_WORDS;
      setPointer(this.#headers, at + NAME, names + slot * NAME_WORDS * 4);
      setPointer(this.#headers, at + VECTOR, vectors + slot * 16);
      this.#headers[at + VECTOR_COUNT] = 1;
      setPointer(this.#headers, at + CONTROL, controls + slot * CONTROL_BYTES);
      setPointer(this.#vectors, slot * 4, this.#payloadAddress + slot * SLOT_BYTES);
    }
  }

  nameAt(slot: number): number {
    return slot * NAME_WORDS;
  }

  controlAt(slot: number): number {
    return slot * CONTROL_WORDS;
  }

  payloadAddress(slot: number): number {
    return this.#payloadAddress + slot * SLOT_BYTES;
  }

  headerAddress(slot: number): number {
    return this.headersAddress + slot * HEADER_WORDS * 4;
  }

  /** Makes a slot ready to receive at most `limit` bytes; what is longer is cut and marked. */
  prepareReceive(slot: number, limit: number, withName: boolean, withControl: boolean): void {
    const at = slot * HEADER_WORDS;
    this.#headers[at + NAME_LENGTH] = withName ? NAME_BYTES : 0;
    this.#headers[at + CONTROL_LENGTH] = withControl ? CONTROL_BYTES : 0;
    this.#vectors[slot * 4 + 2] = limit;
  }

  /** Makes a slot ready to be sent: `length` bytes of its payload, with the first bytes of its name and control. */
  prepareSend(slot: number, length: number, nameLength: number, controlLength: number): void {
    const at = slot * HEADER_WORDS;
    this.#headers[at + NAME_LENGTH] = nameLength;
    this.#headers[at + CONTROL_LENGTH] = controlLength;
    this.#headers[at + FLAGS] = 0;
    this.#vectors[slot * 4 + 2] = length;
  }

  /** Bytes that were received. */
  length(slot: number): number {
    return this.#headers[slot * HEADER_WORDS + LENGTH] as number;
  }

  isTruncated(slot: number): boolean {
    return ((this.#headers[slot * HEADER_WORDS + FLAGS] as number) & MSG_TRUNC) !== 0;
  }

  controlLength(slot: number): number {
    return this.#headers[slot * HEADER_WORDS + CONTROL_LENGTH] as number;
  }
}

/** Memory that stays where it is. */
function words(count: number): Uint32Array {
  return new Uint32Array(new ArrayBuffer(count * 4));
}

function setPointer(target: Uint32Array, at: number, address: number): void {
  target[at] = address >>> 0;
  target[at + 1] = Math.floor(address / 0x1_0000_0000);
}
