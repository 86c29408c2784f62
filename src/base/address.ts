/** Addresses as people write them: where to listen, where an endpoint is. */
import { isIP } from "node:net";

export interface HostPort {
  /** An IP address or a name, in lower case; `"0.0.0.0"` or `"::"` for every address, see `parseListenAddress`. */
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[v6]:port`, `http://host[:port]`. Undefined for anything else. */
export function parseAddress(text: string): HostPort | undefined {
  const url = /^http:\/\/([^/]+)\/?$/.exec(text);
  const bare = url?.[1] ?? text;
  const match = /^(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d{1,5}))?$/.exec(bare);
  if (match === null) return undefined;
  const host = (match[1] ?? match[2] ?? "").toLowerCase();
  if (match[1] !== undefined ? isIP(host) !== 6 : !isHostName(host)) return undefined;
  const port = match[3] === undefined ? (url === null ? undefined : 80) : Number(match[3]);
  return port === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

/** As `parseAddress`, and `:8080` for every address of this machine (host `"::"`). Port 0 asks the system for one. */
export function parseListenAddress(text: string): HostPort | undefined {
  const everywhere = /^(?:\*)?:(\d{1,5})$/.exec(text);
  if (everywhere !== null) {
    const port = Number(everywhere[1]);
    return port > 65_535 ? undefined : { host: "::", port };
  }
  if (text.endsWith(":0")) {
    const parsed = parseAddress(`${text.slice(0, -1)}1`);
    return parsed === undefined ? undefined : { host: parsed.host, port: 0 };
  }
  return parseAddress(text);
}

export function formatAddress({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A name of letters, digits, hyphens and dots, or an IPv4 address; all-numeric names that are no address are refused. */
function isHostName(text: string): boolean {
  if (text.length > 253 || !/^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/.test(text))
    return false;
  return !/^[\d.]+$/.test(text) || isIP(text) === 4;
}
