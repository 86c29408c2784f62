/** struct sockaddr_in and sockaddr_in6, read and written in place as 32-bit words. */
import { type Address, formatIp, parseIp } from "../base/ip.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
/** Words that the longer of the two takes. */
export const ADDRESS_WORDS = 7;
/** `::ffff:0:0/96` in the order of its bytes in memory. */
const MAPPED = 0xffff0000;

/** Identifies an address, or an address and a port: a number for IPv4 (mapped or not), a text for IPv6. */
export type PlaceKey = number | string;

/** Bytes of the address that begins at `words[at]`. */
export function addressLength(words: Uint32Array, at: number): number {
  return ((words[at] as number) & 0xffff) === AF_INET ? 16 : 28;
}

/** The key of address and port. */
export function placeKey(words: Uint32Array, at: number): PlaceKey {
  const port = (words[at] as number) >>> 16;
  if (((words[at] as number) & 0xffff) === AF_INET) return (words[at + 1] as number) * 65_536 + port;
  const ip = ipKey(words, at + 2);
  return typeof ip === "number" ? ip * 65_536 + port : ip + String.fromCharCode(port);
}

/** The key of the IPv6 address (which may be a mapped IPv4 address) in the four words from `at`. */
export function ipKey(words: Uint32Array, at: number): PlaceKey {
  if (words[at] === 0 && words[at + 1] === 0 && words[at + 2] === MAPPED) return words[at + 3] as number;
  let key = "";
  for (let word = at; word < at + 4; word++)
    key += String.fromCharCode((words[word] as number) & 0xffff, (words[word] as number) >>> 16);
  return key;
}

export function portAt(words: Uint32Array, at: number): number {
  const port = (words[at] as number) >>> 16;
  return ((port & 255) << 8) | (port >>> 8);
}

/** Canonical text of the address; IPv4-mapped IPv6 addresses are IPv4. */
export function ipAt(words: Uint32Array, at: number): string {
  if (((words[at] as number) & 0xffff) === AF_INET) return formatIp([swap(words[at + 1] as number)]);
  const parts: Address = [2, 3, 4, 5].map((offset) => swap(words[at + offset] as number));
  const isMapped = parts[0] === 0 && parts[1] === 0 && parts[2] === 0xffff;
  return formatIp(isMapped ? [parts[3] as number] : parts);
}

/** `host` is an IP address. `dual`: written as IPv6 whatever it is, for sockets that take both. */
export function socketAddress(host: string, port: number, dual = false): Uint8Array {
  const ip = parseIp(host) ?? [0];
  const isIpv4 = ip.length === 1 && !dual && !host.includes(":");
  const bytes = new Uint8Array(new ArrayBuffer(isIpv4 ? 16 : 28));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isIpv4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  if (isIpv4) view.setUint32(4, ip[0] as number);
  else
    for (const [index, word] of (ip.length === 1 ? [0, 0, 0xffff, ip[0] as number] : ip).entries())
      view.setUint32(8 + index * 4, word);
  return bytes;
}

function swap(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}
