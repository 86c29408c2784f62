/** IP addresses and networks: strict parsing, and sets of networks that are looked up bit by bit. */

/** An address as 32-bit words: one for IPv4, four for IPv6. `::ffff:1.2.3.4` is IPv4. */
export type Address = readonly number[];

/** Undefined for anything that is not exactly an address; zones (`%eth0`) are refused. */
export function parseIp(text: string): Address | undefined {
  if (text.includes(":")) return parseIpv6(text);
  const value = parseIpv4(text);
  return value === undefined ? undefined : [value];
}

/** Four decimal parts without leading zeros, as an unsigned number. */
export function parseIpv4(text: string): number | undefined {
  let value = 0;
  let part = -1;
  let dots = 0;
  let digits = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index) - 0x30;
    if (code === -2) {
      if (part < 0 || ++dots > 3) return undefined;
      value = value * 256 + part;
      part = -1;
      digits = 0;
    } else if (code >= 0 && code <= 9) {
      if (digits++ > 0 && part === 0) return undefined;
      part = (part < 0 ? 0 : part * 10) + code;
      if (part > 255) return undefined;
    } else return undefined;
  }
  return dots === 3 && part >= 0 ? value * 256 + part : undefined;
}

function parseIpv6(text: string): Address | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const left = parseGroups(halves[0] as string, halves.length === 1);
  const right = halves.length === 2 ? parseGroups(halves[1] as string, true) : [];
  if (left === undefined || right === undefined) return undefined;
  const missing = 8 - left.length - right.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...left, ...new Array<number>(missing).fill(0), ...right];
  const words = [0, 2, 4, 6].map((at) => (((groups[at] as number) << 16) | (groups[at + 1] as number)) >>> 0);
  const isMapped = words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
  return isMapped ? [words[3] as number] : words;
}

/** Groups between colons; the last one may be a dotted IPv4 address when `mayEndWithIpv4`. */
function parseGroups(text: string, mayEndWithIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index] as string;
    if (part.includes(".")) {
      const value = index === parts.length - 1 && mayEndWithIpv4 ? parseIpv4(part) : undefined;
      if (value === undefined) return undefined;
      groups.push(value >>> 16, value & 0xffff);
    } else if (/^[0-9A-Fa-f]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** The one canonical text of an address: dotted IPv4, or IPv6 in lower case with its longest run of zeros cut (RFC 5952). */
export function formatIp(address: Address): string {
  if (address.length === 1) return formatIpv4(address[0] as number);
  const groups = address.flatMap((word) => [word >>> 16, word & 0xffff]);
  let longestStart = 0;
  let longest = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > longest) {
      longestStart = start;
      longest = end - start;
    }
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  // A single group of zeros is written out: `::` stands for two or more.
  if (longest === 1) return text(groups);
  return `${text(groups.slice(0, longestStart))}::${text(groups.slice(longestStart + longest))}`;
}

function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

export interface Network {
  readonly address: Address;
  readonly prefix: number;
}

/** `10.0.0.0/8`, `2001:db8::/32`, or one address. Bits behind the prefix must be zero, so that typing errors show. */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf("/");
  const address = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const bits = address.length * 32;
  const suffix = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(suffix) || Number(suffix) > bits) return undefined;
  const prefix = Number(suffix);
  for (let bit = prefix; bit < bits; bit++) if (bitAt(address, bit) === 1) return undefined;
  return { address, prefix };
}

function bitAt(address: Address, bit: number): 0 | 1 {
  return (((address[bit >>> 5] as number) >>> (31 - (bit & 31))) & 1) as 0 | 1;
}

/** A binary trie over prefixes. A lookup takes at most as many steps as the longest prefix has bits. */
export class NetworkSet {
  /** Two children per node; node 0 is the root of IPv4, node 1 that of IPv6. */
  readonly #children: number[] = [0, 0, 0, 0];
  readonly #member: boolean[] = [false, false];
  /** Clients come back: the last answers are kept, in bounded number. */
  readonly #answers = new Map<string, boolean>();

  constructor(networks: readonly Network[]) {
    for (const network of networks) this.#insert(network);
  }

  /** Whether the address is in one of the networks; false for what is not an address. */
  has(ip: string): boolean {
    const known = this.#answers.get(ip);
    if (known !== undefined) return known;
    const address = parseIp(ip);
    const answer = address !== undefined && this.#find(address);
    if (this.#answers.size >= 1_024) this.#answers.clear();
    this.#answers.set(ip, answer);
    return answer;
  }

  #insert({ address, prefix }: Network): void {
    let node = address.length === 1 ? 0 : 1;
    for (let bit = 0; bit < prefix; bit++) {
      const at = node * 2 + bitAt(address, bit);
      if (this.#children[at] === 0) {
        this.#children[at] = this.#member.length;
        this.#children.push(0, 0);
        this.#member.push(false);
      }
      node = this.#children[at] as number;
    }
    this.#member[node] = true;
  }

  #find(address: Address): boolean {
    let node = address.length === 1 ? 0 : 1;
    for (let bit = 0; ; bit++) {
      if (this.#member[node] === true) return true;
      if (bit === address.length * 32) return false;
      node = this.#children[node * 2 + bitAt(address, bit)] as number;
      if (node === 0) return false;
    }
  }
}
