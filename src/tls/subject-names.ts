/** Names in certificates: what a server may be called (DNS, wildcards, IP addresses), and all of it for clients. */
import { parseIp } from "../base/ip.ts";

export interface AlternativeName {
  /** `DNS`, `IP Address`, `email`, `URI`, ... as the runtime calls them. */
  readonly kind: string;
  readonly value: string;
}

const HOST_NAME = /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
const MAX_HOST_NAME = 253;

/**
 * Reads the runtime's text form, `DNS:a.test, IP Address:10.0.0.1`. A value with a comma or a quote in it stands there as a
 * JSON string, so that no certificate can pretend to names it does not have. What cannot be read is left out.
 */
export function parseAlternativeNames(text: string | undefined): AlternativeName[] {
  const names: AlternativeName[] = [];
  const pattern = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
  for (let match = pattern.exec(text ?? ""); match !== null; match = pattern.exec(text ?? "")) {
    const [, kind = "", written = ""] = match;
    const value = written.startsWith('"') ? unquoted(written) : written;
    if (value !== undefined && value !== "") names.push({ kind, value });
  }
  return names;
}

/** The names a server certificate is good for: in lower case, IP addresses as they are usually written. */
export function serverNames(alternatives: readonly AlternativeName[]): string[] {
  const names = alternatives.flatMap(({ kind, value }) => {
    if (kind === "IP Address") return [canonicalIp(value)];
    const name = value.toLowerCase();
    return kind === "DNS" && isHostName(name) ? [name] : [];
  });
  return [...new Set(names)];
}

/** A DNS name, or one whose first label is `*`, in lower case. */
export function isHostName(name: string): boolean {
  return name.length <= MAX_HOST_NAME && HOST_NAME.test(name);
}

/** `host` in lower case without a last dot: how names are compared. */
export function normalizeHostName(host: string): string {
  const lower = host.toLowerCase();
  return lower.endsWith(".") ? lower.slice(0, -1) : lower;
}

/** One text for every way to write an IP address: certificates show IPv6 as `0:0:0:0:0:0:0:1`. */
function canonicalIp(text: string): string {
  const words = parseIp(text);
  if (words === undefined || words.length === 1) return text.toLowerCase();
  const groups = words.flatMap((word) => [(word >>> 16).toString(16), (word & 0xffff).toString(16)]);
  const zeros = longestZeros(groups);
  if (zeros.length < 2) return groups.join(":");
  return `${groups.slice(0, zeros.start).join(":")}::${groups.slice(zeros.start + zeros.length).join(":")}`;
}

function longestZeros(groups: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

function unquoted(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}
