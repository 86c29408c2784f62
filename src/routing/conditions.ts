/** The conditions of a match, compiled to functions that answer yes or no. */
import { EvenkeelError } from "../base/errors.ts";
import { NetworkSet, parseNetwork } from "../base/ip.ts";
import { compileRegex, MAX_REGEX_SUBJECT } from "../base/regex.ts";
import { certificateCondition } from "./certificate-condition.ts";
import type { RequestView } from "./request-view.ts";
import type { MatchConfig } from "./schema.ts";

export type Condition = (request: RequestView, path: string) => boolean;

type ValueMatch = string | { regex: string } | { present: boolean };

/** All conditions that are not decided by looking up the host and path. */
export function compileConditions(match: MatchConfig): Condition[] {
  const conditions: Condition[] = [];
  if (match.method !== undefined) {
    const methods = new Set(match.method);
    conditions.push((request) => methods.has(request.method));
  }
  addValues(
    conditions,
    match.headers,
    (request, name) => request.header(name),
    (name) => name.toLowerCase(),
  );
  addValues(conditions, match.cookies, (request, name) => request.cookie(name));
  addValues(conditions, match.query, (request, name) => request.queryParameter(name));
  if (match.clientIp !== undefined) {
    const networks = new NetworkSet(match.clientIp.map(networkOf));
    conditions.push((request) => networks.has(request.clientIp));
  }
  if (match.serverName !== undefined) {
    const names = match.serverName.map(normalHost);
    conditions.push(({ tls }) => tls !== undefined && names.some((name) => hostMatches(name, tls.serverName)));
  }
  if (match.alpn !== undefined) {
    const wanted = match.alpn;
    conditions.push(({ tls }) => tls?.protocols.some((protocol) => wanted.includes(protocol)) === true);
  }
  if (match.clientCertificate !== undefined)
    conditions.push(certificateCondition(match.clientCertificate, hostMatches));
  for (const part of match.all ?? []) conditions.push(compileMatch(part));
  if (match.any !== undefined) {
    const parts = match.any.map(compileMatch);
    conditions.push((request, path) => parts.some((part) => part(request, path)));
  }
  if (match.not !== undefined) {
    const part = compileMatch(match.not);
    conditions.push((request, path) => !part(request, path));
  }
  return conditions;
}

/** A whole match, host and path included, as one condition; for what stands below `all`, `any` and `not`. */
export function compileMatch(match: MatchConfig): Condition {
  const conditions = compileConditions(match);
  if (match.host !== undefined) {
    const hosts = match.host.map(normalHost);
    conditions.push((request) => hosts.some((host) => hostMatches(host, request.host)));
  }
  const paths: Condition[] = [];
  for (const exact of match.path ?? []) paths.push((_, path) => path === exact);
  for (const prefix of match.pathPrefix ?? []) paths.push((_, path) => pathHasPrefix(path, normalPrefix(prefix)));
  for (const source of match.pathRegex ?? []) paths.push(pathRegexCondition(source));
  if (paths.length > 0) conditions.push((request, path) => paths.some((condition) => condition(request, path)));
  return (request, path) => conditions.every((condition) => condition(request, path));
}

export function pathRegexCondition(source: string): Condition {
  const regex = compileRegex(source);
  return (_, path) => path.length <= MAX_REGEX_SUBJECT && regex.test(path);
}

/** `/api/` and `/api` mean the same as prefixes; `/` is the empty prefix. */
export function normalPrefix(prefix: string): string {
  return prefix.replace(/\/+$/, "");
}

/** At or below the prefix (which has no slash at its end): `/api` has `/api` and `/api/x`, not `/apix`. */
export function pathHasPrefix(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f);
}

/** In small letters. Throws an EvenkeelError for what can never be a host: a port, a `*` that is not the first label. */
export function normalHost(pattern: string): string {
  if (!/^(\*\.)?[^\s*/:]+$|^\[[0-9A-Fa-f:.]+\]$/.test(pattern)) {
    throw new EvenkeelError(
      `${pattern} is not a host: expected a name without port, such as example.com or *.example.com`,
    );
  }
  return pattern.toLowerCase();
}

/** `*.example.com` stands for any number of labels before, not for `example.com` itself. */
function hostMatches(pattern: string, host: string): boolean {
  return pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) && host.length >= pattern.length : host === pattern;
}

function networkOf(text: string): NonNullable<ReturnType<typeof parseNetwork>> {
  const network = parseNetwork(text);
  if (network === undefined) throw new EvenkeelError(`${text} is not an address or network such as 10.0.0.0/8`);
  return network;
}

function addValues(
  conditions: Condition[],
  values: Record<string, ValueMatch> | undefined,
  read: (request: RequestView, name: string) => string | undefined,
  normalize: (name: string) => string = (name) => name,
): void {
  for (const [rawName, value] of Object.entries(values ?? {})) {
    const name = normalize(rawName);
    if (typeof value === "string") conditions.push((request) => read(request, name) === value);
    else if ("present" in value) conditions.push((request) => (read(request, name) !== undefined) === value.present);
    else {
      const regex = compileRegex(value.regex);
      conditions.push((request) => {
        const text = read(request, name);
        return text !== undefined && text.length <= MAX_REGEX_SUBJECT && regex.test(text);
      });
    }
  }
}
