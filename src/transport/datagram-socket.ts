/**
 * UDP sockets through the C library: what the runtime's own offer lacks is the address that a client spoke to (see
 * docs/decisions/0008-udp-sockets.md). Many datagrams are received and sent by one call. (Linux, 64 bit.)
 */
import { dlopen, ptr, read } from "bun:ffi";
import { closeDescriptor } from "./listening-socket.ts";
import { BATCH, MessageVector, SLOT_BYTES } from "./message-vector.ts";
import { ADDRESS_WORDS, AF_INET, addressLength, ipKey, type PlaceKey } from "./socket-address.ts";

const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IPPROTO_IPV6 = 41;
const IPV6_PKTINFO = 50;
const EINTR = 4;
const EAGAIN = 11;
const EMSGSIZE = 90;
const ENOBUFS = 105;
/** Bytes before the data of a control message. */
const CONTROL_HEADER_WORDS = 4;

const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  recvmmsg: { args: ["i32", "ptr", "u32", "i32", "ptr"], returns: "i32" },
  sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  __errno_location: { args: [], returns: "ptr" },
}).symbols;

/** What became of datagrams that were handed to the kernel: how many it took, and whether the peer is known to be gone. */
export interface Sent {
  readonly taken: number;
  readonly peerIsGone: boolean;
}

const ALL_OF_ONE: Sent = { taken: 1, peerIsGone: false };
const NONE: Sent = { taken: 0, peerIsGone: false };
const GONE: Sent = { taken: 0, peerIsGone: true };

/** There is no way to the address. */
export const NO_WAY = -2;

/**
 * A socket that sends to `address` (a struct sockaddr) and receives from there alone; -1 when there are too many open
 * files, NO_WAY when the system knows no way there.
 */
export function openConnectedSocket(address: Uint8Array): number {
  const family = address[0] as number;
  const descriptor = libc.socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  if (libc.connect(descriptor, ptr(address), address.length) === 0) return descriptor;
  closeDescriptor(descriptor);
  return NO_WAY;
}

/** Whether a bound socket takes datagrams for every address of this machine. */
export function isBoundToAll(descriptor: number): boolean {
  const words = new Uint32Array(new ArrayBuffer(ADDRESS_WORDS * 4));
  libc.getsockname(descriptor, ptr(words), ptr(new Uint32Array([words.byteLength])));
  if (((words[0] as number) & 0xffff) === AF_INET) return words[1] === 0;
  return words.subarray(2, 6).every((word) => word === 0);
}

/** The address of this machine that a datagram was sent to, and the control message with which an answer leaves from it. */
export interface LocalAddress {
  readonly key: PlaceKey;
  readonly control: Uint32Array;
}

/** Local addresses that are remembered; few machines have more. */
const MAX_LOCAL_ADDRESSES = 1_024;

/** Receives what clients send to a bound socket. */
export class ReceiveBatch {
  readonly vector = new MessageVector();
  readonly #locals = new Map<PlaceKey, LocalAddress>();
  #limit = -1;
  #withControl = false;
  #used = BATCH;

  /** Datagrams that have come, at most a batch of them; 0 for none. What is longer than `limit` is cut and marked. */
  receive(descriptor: number, limit: number, withControl: boolean): number {
    const changed = limit !== this.#limit || withControl !== this.#withControl;
    this.#limit = limit;
    this.#withControl = withControl;
    const stale = changed ? BATCH : this.#used;
    for (let slot = 0; slot < stale; slot++) this.vector.prepareReceive(slot, limit, true, withControl);
    const count = libc.recvmmsg(descriptor, this.vector.headersAddress, BATCH, MSG_DONTWAIT, null);
    this.#used = Math.max(0, count);
    return this.#used;
  }

  /** Undefined when the kernel did not say. */
  localAddress(slot: number): LocalAddress | undefined {
    const { controls } = this.vector;
    const at = this.vector.controlAt(slot);
    if (this.vector.controlLength(slot) < CONTROL_HEADER_WORDS * 4) return undefined;
    const data = at + CONTROL_HEADER_WORDS;
    const [level, type] = [controls[at + 2], controls[at + 3]];
    if (level === IPPROTO_IP && type === IP_PKTINFO) {
      const key = controls[data + 1] as number;
      return this.#locals.get(key) ?? this.#remember(key, [28, 0, IPPROTO_IP, IP_PKTINFO, 0, key, 0, 0]);
    }
    if (level !== IPPROTO_IPV6 || type !== IPV6_PKTINFO) return undefined;
    const key = ipKey(controls, data);
    const address = controls.subarray(data, data + 4);
    // A link-local address means nothing without its link; for all others routing decides.
    const link = ((address[0] as number) & 0xc0ff) === 0x80fe ? (controls[data + 4] as number) : 0;
    return this.#locals.get(key) ?? this.#remember(key, [36, 0, IPPROTO_IPV6, IPV6_PKTINFO, ...address, link, 0]);
  }

  /** Sends `count` datagrams from `slot` on, as they are, to the peer of a connected socket. */
  forward(descriptor: number, slot: number, count: number): Sent {
    const { vector } = this;
    if (count === 1) {
      if (libc.send(descriptor, vector.payloadAddress(slot), vector.length(slot), MSG_DONTWAIT) >= 0) return ALL_OF_ONE;
      return lossOf(errno());
    }
    for (let index = slot; index < slot + count; index++) vector.prepareSend(index, vector.length(index), 0, 0);
    const taken = libc.sendmmsg(descriptor, vector.headerAddress(slot), count, MSG_DONTWAIT);
    return taken < 0 ? lossOf(errno()) : { taken, peerIsGone: false };
  }

  #remember(key: PlaceKey, control: readonly number[]): LocalAddress {
    if (this.#locals.size >= MAX_LOCAL_ADDRESSES) this.#locals.clear();
    const local = { key, control: Uint32Array.from(control) };
    this.#locals.set(key, local);
    return local;
  }
}

/** Where an answer goes. */
export interface ReplyTarget {
  /** struct sockaddr. */
  readonly name: Uint32Array;
  /** Undefined when the socket has one address only. */
  readonly control: Uint32Array | undefined;
}

/** A bound socket that answers leave through. */
export interface ReplySocket {
  readonly descriptor: number;
  /** The kernel did not take these. */
  datagramsLost(count: number): void;
}

/** Gathers what endpoints answer, to send it to clients through one bound socket. */
export class ReplyBatch {
  readonly vector = new MessageVector();
  #through: ReplySocket | undefined;
  #count = 0;

  /** The slot that `receive` fills first. */
  get next(): number {
    return this.#count;
  }

  /**
   * Takes up to `most` datagrams of a connected socket, to be sent through `through` by `add`. Returns how many there
   * are; "gone" when the endpoint is known not to be there.
   */
  receive(descriptor: number, through: ReplySocket, most: number): number | "gone" {
    if (through !== this.#through || this.#count === BATCH) this.flush();
    this.#through = through;
    const room = Math.min(most, BATCH - this.#count);
    for (let slot = this.#count; slot < this.#count + room; slot++)
      this.vector.prepareReceive(slot, SLOT_BYTES, false, false);
    const count = libc.recvmmsg(descriptor, this.vector.headerAddress(this.#count), room, MSG_DONTWAIT, null);
    if (count >= 0) return count;
    return isTransient(errno()) ? 0 : "gone";
  }

  /** Keeps the next datagram that was received. */
  add(target: ReplyTarget): void {
    const slot = this.#count++;
    const { names, controls } = this.vector;
    names.set(target.name, this.vector.nameAt(slot));
    const { control } = target;
    if (control !== undefined) controls.set(control, this.vector.controlAt(slot));
    this.vector.prepareSend(
      slot,
      this.vector.length(slot),
      addressLength(target.name, 0),
      control === undefined ? 0 : control.byteLength,
    );
  }

  /** Sends what there is. */
  flush(): void {
    const [count, through] = [this.#count, this.#through];
    this.#count = 0;
    if (through === undefined) return;
    let start = 0;
    while (start < count) {
      const taken = libc.sendmmsg(through.descriptor, this.vector.headerAddress(start), count - start, MSG_DONTWAIT);
      if (taken > 0) {
        start += taken;
        continue;
      }
      const code = errno();
      if (code === EINTR) continue;
      const isFull = code === EAGAIN || code === ENOBUFS;
      through.datagramsLost(isFull ? count - start : 1);
      // The first one cannot be sent, for what it is or where it goes; the others may.
      if (isFull) return;
      start++;
    }
  }
}

function lossOf(code: number): Sent {
  return isTransient(code) || code === EMSGSIZE ? NONE : GONE;
}

function isTransient(code: number): boolean {
  return code === EAGAIN || code === ENOBUFS || code === EINTR;
}

function errno(): number {
  const location = libc.__errno_location();
  return location === null ? 0 : read.i32(location, 0);
}
