/**
 * Hands open descriptors to another process over a socket pair (SCM_RIGHTS, unix(7)). One end is inherited by the process
 * when it is started. A message is one JSON text and the descriptors that belong to it. (Linux, 64 bit.)
 */
import { dlopen, ptr } from "bun:ffi";
import { EvenkeelError } from "../base/errors.ts";

const AF_UNIX = 1;
/** Keeps messages apart from each other. */
const SOCK_SEQPACKET = 5;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** Of one message. */
export const MAX_DESCRIPTORS = 250;
const MAX_TEXT = 65_536;
const CONTROL_HEADER = 16;

const libc = dlopen("libc.so.6", {
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  sendmsg: { args: ["i32", "ptr", "i32"], returns: "i64" },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i64" },
}).symbols;

/** Two connected ends. Whoever inherits one must be told its number. */
export function openDescriptorChannel(): [number, number] {
  const ends = new Int32Array(2);
  if (libc.socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ptr(ends)) < 0) throw new EvenkeelError("cannot open a socket pair");
  return [ends[0] as number, ends[1] as number];
}

/** Sends copies of `descriptors`; the sender keeps its own. Throws when the other end is gone or too many are waiting. */
export function sendDescriptors(channel: number, text: string, descriptors: readonly number[]): void {
  if (descriptors.length > MAX_DESCRIPTORS) throw new EvenkeelError(`at most ${MAX_DESCRIPTORS} descriptors at a time`);
  const message = new Message(Buffer.from(text), CONTROL_HEADER + descriptors.length * 4);
  const control = new DataView(message.control.buffer);
  control.setBigUint64(0, BigInt(CONTROL_HEADER + descriptors.length * 4), true);
  control.setInt32(8, SOL_SOCKET, true);
  control.setInt32(12, SCM_RIGHTS, true);
  descriptors.forEach((descriptor, index) => {
    control.setInt32(CONTROL_HEADER + index * 4, descriptor, true);
  });
  if (Number(libc.sendmsg(channel, ptr(message.header), MSG_DONTWAIT | MSG_NOSIGNAL)) < 0)
    throw new EvenkeelError("cannot send descriptors");
}

/** Takes the next message; waits for it. Undefined when the other end is closed. */
export function receiveDescriptors(channel: number): { text: string; descriptors: number[] } | undefined {
  const message = new Message(Buffer.alloc(MAX_TEXT), CONTROL_HEADER + MAX_DESCRIPTORS * 4);
  const length = Number(libc.recvmsg(channel, ptr(message.header), MSG_CMSG_CLOEXEC));
  if (length <= 0) return undefined;
  const control = new DataView(message.control.buffer);
  const controlLength = message.controlLength === 0 ? CONTROL_HEADER : Number(control.getBigUint64(0, true));
  const descriptors = Array.from({ length: (controlLength - CONTROL_HEADER) / 4 }, (_, index) =>
    control.getInt32(CONTROL_HEADER + index * 4, true),
  );
  return { text: message.data.toString("utf8", 0, length), descriptors };
}

/** struct msghdr with one iovec and one control block, and all they point to (kept alive together). */
class Message {
  readonly data: Buffer;
  readonly control: Uint8Array;
  readonly header = stable(56);
  readonly #vector = stable(16);

  constructor(data: Buffer, controlBytes: number) {
    this.data = data;
    this.control = stable(Math.ceil(controlBytes / 8) * 8);
    const vector = new DataView(this.#vector.buffer);
    vector.setBigUint64(0, BigInt(ptr(data)), true);
    vector.setBigUint64(8, BigInt(data.length), true);
    const header = new DataView(this.header.buffer);
    header.setBigUint64(16, BigInt(ptr(this.#vector)), true);
    header.setBigUint64(24, 1n, true);
    header.setBigUint64(32, BigInt(ptr(this.control)), true);
    header.setBigUint64(40, BigInt(this.control.length), true);
  }

  /** Set by the kernel on receiving. */
  get controlLength(): number {
    return Number(new DataView(this.header.buffer).getBigUint64(40, true));
  }
}

/** Memory that stays where it is: a small array without a buffer of its own moves when its `buffer` is asked for. */
function stable(bytes: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(bytes));
}
