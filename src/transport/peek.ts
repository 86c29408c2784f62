/**
 * Looks at what a connection has sent without taking it, for those who must decide before TLS begins: what is left in the
 * kernel is what TLS then reads. A paused socket is not told of by the runtime, so the kernel is asked, for all at once.
 */
import { dlopen, ptr } from "bun:ffi";
import type { Timer, Timers } from "../base/clock.ts";

const MSG_PEEK = 0x2;
const MSG_DONTWAIT = 0x40;
const POLLIN = 0x1;
const POLLRDHUP = 0x2000;
/** Of the events found, those that say that nothing will follow: POLLRDHUP, POLLERR, POLLHUP. */
const ENDED = POLLRDHUP | 0x8 | 0x10;
/** struct pollfd: descriptor, events asked for, events found. */
const POLLFD_BYTES = 8;
/** How late a piece may be seen. Nothing runs while nobody looks. */
const LOOK_EVERY_MS = 2;

const libc = dlopen("libc.so.6", {
  recv: { args: ["i32", "ptr", "usize", "i32"], returns: "i64" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
}).symbols;

/** Somebody who waits for the first bytes of a connection. */
export interface Peeking {
  readonly descriptor: number;
  /** Something is there that may be looked at. `ended`: nothing will follow, the peer has finished or is gone. */
  onReadable(ended: boolean): void;
}

/**
 * Copies what has arrived to the beginning of `buffer` and leaves it where it is. Returns the number of bytes: 0 when the
 * peer has ended, negative when nothing is there yet.
 */
export function peekBytes(descriptor: number, buffer: Buffer): number {
  return Number(libc.recv(descriptor, ptr(buffer), buffer.length, MSG_PEEK | MSG_DONTWAIT));
}

/** Takes `length` bytes that have been looked at. False when they were not all there. */
export function takeBytes(descriptor: number, length: number): boolean {
  const buffer = Buffer.allocUnsafe(length);
  return Number(libc.recv(descriptor, ptr(buffer), length, MSG_DONTWAIT)) === length;
}

/** Asks for all that wait with one call of the system, and only while somebody waits. */
export class Peeker {
  readonly #timers: Timers;
  readonly #waiting = new Set<Peeking>();
  #timer: Timer | undefined;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(peeking: Peeking): void {
    this.#waiting.add(peeking);
    this.#timer ??= this.#timers.every(LOOK_EVERY_MS, () => this.look());
  }

  /** Safe to call again. */
  remove(peeking: Peeking): void {
    this.#waiting.delete(peeking);
    if (this.#waiting.size === 0) this.close();
  }

  /** Calls everyone for whom there is something. */
  look(): void {
    const waiting = [...this.#waiting];
    const list = new Int32Array((waiting.length * POLLFD_BYTES) / 4);
    for (const [index, { descriptor }] of waiting.entries()) {
      list[index * 2] = descriptor;
      list[index * 2 + 1] = POLLIN | POLLRDHUP;
    }
    if (waiting.length === 0 || libc.poll(ptr(list), waiting.length, 0) <= 0) return;
    for (const [index, peeking] of waiting.entries()) {
      const found = (list[index * 2 + 1] as number) >>> 16;
      // One that was called may have ended another.
      if (found !== 0 && this.#waiting.has(peeking)) peeking.onReadable((found & ENDED) !== 0);
    }
  }

  close(): void {
    this.#timer?.stop();
    this.#timer = undefined;
  }
}
