/**
 * Listening sockets made by hand, through the C library: the supervisor opens them and hands the descriptors to workers,
 * so that a connection that waits to be accepted outlives the worker, a reload and an upgrade. (Linux.)
 */
import { dlopen, ptr, read } from "bun:ffi";
import { EvenkeelError } from "../base/errors.ts";
import { AF_INET, AF_INET6, socketAddress } from "./socket-address.ts";

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const IP_PKTINFO = 8;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
/** Connections that may wait to be accepted; the system's own limit (net.core.somaxconn) holds as well. */
const BACKLOG = 4_096;
/** Datagrams that wait to be read, in bytes; the system's own limit (net.core.rmem_max) holds as well. */
const DATAGRAM_BACKLOG = 4_194_304;
const IPPROTO_IP = 0;

const ERRNO: Readonly<Record<number, string>> = {
  1: "operation not permitted",
  13: "permission denied: ports below 1024 need root or CAP_NET_BIND_SERVICE",
  24: "too many open files",
  97: "the address family is not supported here",
  98: "the address is already in use",
  99: "this machine has no such address",
};

const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  dup: { args: ["i32"], returns: "i32" },
  __errno_location: { args: [], returns: "ptr" },
}).symbols;

/**
 * Opens a socket that listens on `host` (an IP address; `"::"` takes IPv4 as well) and `port` (0 for any). Several may
 * listen on one address and port: the kernel spreads connections over them. `backlog` connections may wait to be accepted.
 * Throws an EvenkeelError that says why not.
 */
export function openListeningSocket(host: string, port: number, backlog = BACKLOG): number {
  const descriptor = bindSocket(SOCK_STREAM, host, port, true);
  if (libc.listen(descriptor, backlog) >= 0) return descriptor;
  const error = failure("cannot listen");
  libc.close(descriptor);
  throw error;
}

/** As `openListeningSocket`, for UDP. The kernel spreads clients by address and port. */
export function openDatagramSocket(host: string, port: number): number {
  return bindSocket(SOCK_DGRAM, host, port, true);
}

/**
 * Throws an EvenkeelError when anybody listens on this address already, also who would share it: another evenkeel of the
 * same user, which the kernel would quietly give half of the connections.
 */
export function assertNobodyListens(host: string, port: number): void {
  libc.close(bindSocket(SOCK_STREAM, host, port, false));
}

function bindSocket(type: number, host: string, port: number, shared: boolean): number {
  const family = host.includes(":") ? AF_INET6 : AF_INET;
  const descriptor = libc.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    // A machine without IPv6 can still listen on all of its addresses.
    if (host === "::") return bindSocket(type, "0.0.0.0", port, shared);
    throw failure("cannot open a socket");
  }
  const option = (level: number, name: number, value: number): void => {
    libc.setsockopt(descriptor, level, name, ptr(new Int32Array([value])), 4);
  };
  if (shared) option(SOL_SOCKET, SO_REUSEPORT, 1);
  if (family === AF_INET6) option(IPPROTO_IPV6, IPV6_V6ONLY, host === "::" ? 0 : 1);
  if (type === SOCK_STREAM) option(SOL_SOCKET, SO_REUSEADDR, 1);
  else {
    option(SOL_SOCKET, SO_RCVBUF, DATAGRAM_BACKLOG);
    // Tells with each datagram which address of this machine it was sent to.
    if (family === AF_INET) option(IPPROTO_IP, IP_PKTINFO, 1);
    else option(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  }
  const address = socketAddress(host, port);
  if (libc.bind(descriptor, ptr(address), address.length) >= 0) return descriptor;
  const error = failure("cannot listen");
  libc.close(descriptor);
  throw error;
}

/** The port a listening socket has got, in host order. */
export function portOf(descriptor: number): number {
  const address = new Uint8Array(28);
  libc.getsockname(descriptor, ptr(address), ptr(new Uint32Array([address.length])));
  return ((address[2] as number) << 8) | (address[3] as number);
}

/** Another descriptor for the same socket. Throws an EvenkeelError when there are too many open. */
export function duplicateDescriptor(descriptor: number): number {
  const duplicate = libc.dup(descriptor);
  if (duplicate < 0) throw failure("cannot duplicate a socket");
  return duplicate;
}

export function closeDescriptor(descriptor: number): void {
  libc.close(descriptor);
}

function failure(what: string): EvenkeelError {
  const location = libc.__errno_location();
  const code = location === null ? 0 : read.i32(location, 0);
  return new EvenkeelError(`${what}: ${ERRNO[code] ?? `error ${code}`}`);
}
