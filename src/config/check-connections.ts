/** What holds for listeners that see connections, not requests: HTTP has no meaning there. */

import type { Path } from "../base/place.ts";
import { keyNeedsHttp } from "../pools/key-schema.ts";
import type { MatchConfig } from "../routing/schema.ts";
import { isCarried } from "../sessions/schema.ts";
import type { Config } from "./schema.ts";

type Report = (path: Path, message: string, hint?: string) => void;

const HTTP_CONDITIONS = ["host", "path", "pathPrefix", "pathRegex", "method", "headers", "cookies", "query"] as const;
const HTTP_SETTINGS = ["redirect", "respond", "requestHeaders", "responseHeaders", "rewrite", "importance"] as const;

export function checkConnectionListeners(config: Config, error: Report): void {
  const isHttp = (name: string): boolean => (config.listeners[name]?.protocol ?? "http") === "http";
  /** With one of the listeners that use it, of UDP if there is one. */
  const pools = new Map<string, string>();
  const use = (pool: string, listener: string): void => {
    if (config.listeners[listener]?.protocol === "udp" || !pools.has(pool)) pools.set(pool, listener);
  };
  for (const [name, listener] of Object.entries(config.listeners))
    if (listener.protocol !== "http" && listener.pool !== undefined) use(listener.pool, name);

  for (const [index, route] of config.routes.entries()) {
    const path: Path = ["routes", index];
    const connections = route.listeners?.filter((name) => !isHttp(name)) ?? [];
    const [first] = connections;
    if (first === undefined) continue;
    const protocol = config.listeners[first]?.protocol;
    if (connections.length < (route.listeners?.length ?? 0))
      error([...path, "listeners"], `a route is either for HTTP listeners or for ${protocol} listeners: write two`);
    checkMatch(route.match, [...path, "match"], `listeners.${first} is ${protocol}`, error);
    if (connections.some((name) => config.listeners[name]?.protocol === "udp"))
      checkDatagramMatch(route.match, [...path, "match"], error);
    for (const key of HTTP_SETTINGS)
      if (route[key] !== undefined) error([...path, key], `needs HTTP, but listeners.${first} is ${protocol}`);
    if (route.split?.key !== undefined && keyNeedsHttp(route.split.key))
      error([...path, "split", "key"], `needs HTTP, but listeners.${first} is ${protocol}`, KEY_HINT);
    for (const pool of [route.pool, ...(route.split?.pools.map((part) => part.pool) ?? [])])
      if (pool !== undefined) for (const listener of connections) use(pool, listener);
  }
  for (const [name, from] of pools) checkPool(config, name, from, error);
  for (const name of datagramPools(config)) {
    const {
      connections,
      limits,
      fallback,
      circuitBreaker = false,
      outlierDetection = false,
    } = config.pools[name] ?? {};
    const complain = (...key: string[]): void =>
      error(["pools", name, ...key], "needs connections, but only UDP listeners use this pool");
    if (connections?.proxyProtocol !== undefined) complain("connections", "proxyProtocol");
    if (limits !== undefined) complain("limits");
    if (fallback !== undefined) complain("fallback");
    if (circuitBreaker !== false) complain("circuitBreaker");
    if (outlierDetection !== false) complain("outlierDetection");
  }
}

/** What a pool cannot have whose users, `from` among them, are not requests. */
function checkPool({ pools, listeners }: Config, name: string, from: string, error: Report): void {
  const pool = pools[name];
  if (pool === undefined) return;
  const { key, queue, hedging, adaptiveConcurrency, sessions, sorry, retry, connections } = pool;
  const needsHttp = (path: Path, hint?: string): void =>
    error(["pools", name, ...path], `needs HTTP, but listeners.${from}, which uses this pool, has no requests`, hint);
  if (key !== undefined && keyNeedsHttp(key)) needsHttp(["key"], KEY_HINT);
  if (queue.priorityHeader !== undefined) needsHttp(["queue", "priorityHeader"]);
  if (hedging !== false) needsHttp(["hedging"]);
  if (adaptiveConcurrency !== false) needsHttp(["adaptiveConcurrency"]);
  if (sorry !== undefined) needsHttp(["sorry"]);
  if (sessions !== undefined && listeners[from]?.protocol === "udp")
    error(
      ["pools", name, "sessions"],
      `needs requests or connections, but listeners.${from}, which uses this pool, is udp`,
      "to keep an address on one endpoint there, use balance: maglev with key: clientIp",
    );
  else if (sessions !== undefined && isCarried(sessions))
    needsHttp(["sessions", "type"], "connections have clientIp and, where a listener ends TLS, clientCertificate");
  if (retry.backoff.base > 0) needsHttp(["retry", "backoff"]);
  if (retry.perTryTimeout > 0)
    needsHttp(["retry", "perTryTimeout"], "for the time to connect there is connections.connectTimeout");
  if (connections.protocol === "http2")
    needsHttp(["connections", "protocol"], "leave it out: bytes are passed on as they are");
}

/** The pools that UDP listeners use and no others. */
export function datagramPools(config: Config): Set<string> {
  const used = { udp: new Set<string>(), others: new Set<string>() };
  const isUdp = (listener: string): boolean => config.listeners[listener]?.protocol === "udp";
  for (const [name, { pool }] of Object.entries(config.listeners))
    if (pool !== undefined) used[isUdp(name) ? "udp" : "others"].add(pool);
  for (const route of config.routes) {
    const kind = route.listeners?.some(isUdp) === true ? used.udp : used.others;
    for (const pool of [route.pool, ...(route.split?.pools.map((part) => part.pool) ?? [])])
      if (pool !== undefined) kind.add(pool);
  }
  return used.udp.difference(used.others);
}

const KEY_HINT = "use clientIp, or { constant: ... }";

/** Datagrams are not looked into. */
function checkDatagramMatch(match: MatchConfig, path: Path, error: Report): void {
  for (const key of ["serverName", "alpn"] as const)
    if (match[key] !== undefined) error([...path, key], "needs TCP: UDP listeners see the client's address alone");
  for (const key of ["all", "any"] as const)
    match[key]?.forEach((part, index) => {
      checkDatagramMatch(part, [...path, key, index], error);
    });
  if (match.not !== undefined) checkDatagramMatch(match.not, [...path, "not"], error);
}

function checkMatch(match: MatchConfig, path: Path, why: string, error: Report): void {
  for (const key of HTTP_CONDITIONS)
    if (match[key] !== undefined)
      error(
        [...path, key],
        `needs HTTP, but ${why}`,
        `there are: ${why.endsWith("udp") ? "" : "serverName, alpn, clientCertificate, "}clientIp, all, any, not`,
      );
  match.all?.forEach((part, index) => {
    checkMatch(part, [...path, "all", index], why, error);
  });
  match.any?.forEach((part, index) => {
    checkMatch(part, [...path, "any", index], why, error);
  });
  if (match.not !== undefined) checkMatch(match.not, [...path, "not"], why, error);
}
