/** Single messages to a unix datagram socket, which neither Bun nor Node can send. (Linux.) */
import { dlopen, ptr } from "bun:ffi";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
/** Room for a path in struct sockaddr_un. */
const MAX_PATH = 108;

const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
}).symbols;

/** Sends `text` to the socket at `path`; a leading `@` names an abstract one (unix(7)). False when it could not be sent. */
export function sendDatagram(path: string, text: string): boolean {
  const name = Buffer.from(path);
  const message = Buffer.from(text);
  if (name.length === 0 || name.length > MAX_PATH || message.length === 0) return false;
  if (path.startsWith("@")) name[0] = 0;
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  const descriptor = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  const flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  const sent = libc.sendto(descriptor, ptr(message), message.length, flags, ptr(address), address.length);
  libc.close(descriptor);
  return Number(sent) === message.length;
}
