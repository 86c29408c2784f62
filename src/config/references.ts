/** What no schema can say: names that must exist, addresses that must not clash, expressions that must compile. */

import { algorithms } from "../balancing/registry.ts";
import { parseAddress, parseListenAddress } from "../base/address.ts";
import { EvenkeelError } from "../base/errors.ts";
import { parseIp, parseNetwork } from "../base/ip.ts";
import type { Path } from "../base/place.ts";
import { compileFilters, filters } from "../filters/registry.ts";
import type { RouteConfig } from "../http/schema.ts";
import { compileFormat } from "../observability/access-format.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { compileMatch } from "../routing/conditions.ts";
import { compileRedirect } from "../routing/redirect.ts";
import { checkSessions } from "../sessions/check.ts";
import type { EndpointConfig } from "../upstreams/schema.ts";
import { checkConnectionListeners } from "./check-connections.ts";
import { checkPoolName, checkPoolRelations, didYouMean } from "./check-pool-relations.ts";
import { checkTls } from "./check-tls.ts";
import type { Config } from "./schema.ts";

export interface Finding {
  readonly severity: "error" | "warning";
  readonly path: Path;
  readonly message: string;
  readonly hint?: string;
}

export function checkReferences(config: Config): Finding[] {
  const findings: Finding[] = [];
  const error = (path: Path, message: string, hint?: string): void => {
    findings.push({ severity: "error", path, message, ...(hint === undefined ? {} : { hint }) });
  };
  const warn = (path: Path, message: string): void => {
    findings.push({ severity: "warning", path, message });
  };

  checkListeners(config, error);
  for (const [index, route] of config.routes.entries()) checkRoute(config, route, ["routes", index], error);
  checkRouteNames(config, error);
  checkConnectionListeners(config, error);
  checkTls(config, error, warn);
  for (const [name, pool] of Object.entries(config.pools)) checkPool(pool, ["pools", name], error, warn);
  checkPoolRelations(config, error, warn);
  if (config.accessLog !== false) {
    const { format } = config.accessLog;
    attempt(() => compileFormat(format), ["accessLog", "format"], error);
  }
  return findings;
}

type Report = (path: Path, message: string, hint?: string) => void;

function checkListeners(config: Config, error: Report): void {
  const taken = new Map<string, string>();
  const names = Object.keys(config.listeners);
  if (names.length === 0)
    error(["listeners"], "there is no listener", 'add one: listeners: { web: { address: ":8080", pool: app } }');
  // TCP and UDP have ports of their own.
  const claim = (text: string, path: Path, who: string, transport = "tcp"): void => {
    const address = parseListenAddress(text);
    if (address === undefined) {
      const hint = /^\d{1,5}$/.test(text) ? `write ":${text}"` : undefined;
      return error(path, `expected an address such as :8080 or 127.0.0.1:8080, found ${JSON.stringify(text)}`, hint);
    }
    if (parseIp(address.host) === undefined && address.host !== "localhost") {
      error(
        path,
        `expected an IP address to listen on, found the name ${address.host}`,
        "write :8080 to listen on every address",
      );
    }
    if (address.port === 0) return;
    const everywhere = ["::", "0.0.0.0"].includes(address.host);
    for (const [other, owner] of taken) {
      const [host, port, otherTransport] = other.split(" ") as [string, string, string];
      const clashes =
        otherTransport === transport &&
        Number(port) === address.port &&
        (host === address.host || everywhere || ["::", "0.0.0.0"].includes(host));
      if (clashes) error(path, `${text} is taken by ${owner} already`);
    }
    taken.set(`${address.host} ${address.port} ${transport}`, who);
  };
  for (const [name, listener] of Object.entries(config.listeners)) {
    const transport = listener.protocol === "udp" ? "udp" : "tcp";
    claim(listener.address, ["listeners", name, "address"], `listeners.${name}`, transport);
    if (listener.pool !== undefined) checkPoolName(config, listener.pool, ["listeners", name, "pool"], error);
    if (listener.protocol === "udp") continue;
    listener.proxyProtocol?.from.forEach((text, index) => {
      checkNetwork(text, ["listeners", name, "proxyProtocol", "from", index], error);
    });
    if (listener.protocol === "http") {
      listener.trustedProxies.forEach((text, index) => {
        checkNetwork(text, ["listeners", name, "trustedProxies", index], error);
      });
    }
  }
  if (config.admin !== false) claim(config.admin.address, ["admin", "address"], "admin");
}

const ACTIONS = ["pool", "split", "redirect", "respond"] as const;

function checkRoute(config: Config, route: RouteConfig, path: Path, error: Report): void {
  const actions = ACTIONS.filter((action) => route[action] !== undefined);
  if (actions.length !== 1) {
    const found = actions.length === 0 ? "none of them" : actions.join(" and ");
    error(path, `expected exactly one of pool, split, redirect and respond, found ${found}`);
  }
  if (route.pool !== undefined) checkPoolName(config, route.pool, [...path, "pool"], error);
  route.split?.pools.forEach((part, index) => {
    checkPoolName(config, part.pool, [...path, "split", "pools", index, "pool"], error);
  });
  if (route.split?.pools.every((part) => part.weight === 0))
    error([...path, "split", "pools"], "the weights sum to nothing; at least one must be above 0");
  route.listeners?.forEach((name, index) => {
    if (Object.hasOwn(config.listeners, name)) return;
    error(
      [...path, "listeners", index],
      `there is no listener named ${name}`,
      didYouMean(name, Object.keys(config.listeners)),
    );
  });
  route.match.clientIp?.forEach((text, index) => {
    checkNetwork(text, [...path, "match", "clientIp", index], error);
  });
  attempt(() => compileMatch({ ...route.match, clientIp: undefined }), [...path, "match"], error);
  for (const key of Object.keys(filters) as (keyof typeof filters)[])
    attempt(() => compileFilters({ [key]: route[key] }), [...path, key], error);
  const { redirect } = route;
  if (redirect !== undefined) attempt(() => compileRedirect(redirect.to), [...path, "redirect", "to"], error);
}

function checkRouteNames(config: Config, error: Report): void {
  const seen = new Set<string>();
  config.routes.forEach(({ name }, index) => {
    if (name === undefined) return;
    if (seen.has(name)) error(["routes", index, "name"], `another route is named ${name} already`);
    seen.add(name);
  });
}

function checkPool(pool: PoolConfig, path: Path, error: Report, warn: Report): void {
  const seen = new Set<string>();
  for (const [index, endpoint] of pool.endpoints.entries())
    checkEndpoint(endpoint, [...path, "endpoints", index], seen, error);
  if (pool.endpoints.every((endpoint) => endpoint.weight === 0))
    error([...path, "endpoints"], "the weights sum to nothing; at least one must be above 0");
  if (pool.connections.protocol === "http2" && pool.connections.proxyProtocol !== undefined)
    error(
      [...path, "connections", "proxyProtocol"],
      "names one client, but an HTTP/2 connection carries the requests of many",
    );
  if (pool.connections.tls !== undefined && pool.connections.proxyProtocol !== undefined)
    error(
      [...path, "connections", "proxyProtocol"],
      "would have to come before the TLS handshake with the endpoint, which is not supported",
      "give endpoints without `tls` a PROXY protocol header, or endpoints with `tls` the address in X-Forwarded-For",
    );
  if (pool.key !== undefined && !algorithms[pool.balance.algorithm].keyed) {
    const keyed = Object.entries(algorithms).flatMap(([name, algorithm]) => (algorithm.keyed ? [name] : []));
    warn([...path, "key"], `${pool.balance.algorithm} does not use a key; these do: ${keyed.join(", ")}`);
  }
  checkHealth(pool, path, error);
  if (pool.hedging !== false) checkHedging(pool, [...path, "hedging"], error);
  if (pool.subset !== undefined && algorithms[pool.balance.algorithm].keyed)
    error(
      [...path, "subset"],
      `each worker has other endpoints, so ${pool.balance.algorithm} would lead one key to several of them`,
      "take power-of-two-choices with `sessions`, or leave `subset` out",
    );
  checkWeights(pool, path, warn);
  for (const { severity, key, message } of pool.sessions === undefined ? [] : checkSessions(pool.sessions))
    (severity === "error" ? error : warn)([...path, "sessions", ...(key === "" ? [] : [key])], message);
}

function checkHealth({ health }: PoolConfig, path: Path, error: Report): void {
  if (typeof health !== "object" || health.type !== "http") return;
  if (health.agent !== undefined && health.agentHeader !== undefined)
    error([...path, "health", "agentHeader"], "is a second agent beside `agent`", "leave out one of the two");
}

function checkHedging({ retry, sessions }: PoolConfig, path: Path, error: Report): void {
  if (retry.attempts === 0)
    error(
      path,
      "a second request counts as a retry, and retry.attempts is 0",
      "set retry.attempts to 1, or leave it out",
    );
  if (sessions !== undefined)
    error(path, "asks two endpoints at a time, but sessions keep each client on one", "leave out hedging or sessions");
}

/** Weights of 0 take endpoints out whatever the algorithm; tiers are balanced each by itself. */
function checkWeights(pool: PoolConfig, path: Path, warn: Report): void {
  const { algorithm } = pool.balance;
  if (algorithms[algorithm].weighted) return;
  const weights = new Map<number, number>();
  for (const [index, { weight, tier }] of pool.endpoints.entries()) {
    if (weight === 0) continue;
    const other = weights.get(tier) ?? weight;
    weights.set(tier, other);
    if (weight === other) continue;
    const instead = algorithm === "round-robin" ? "weighted-round-robin does" : "most others do";
    return warn([...path, "endpoints", index], `${algorithm} takes no notice of weights; ${instead}`);
  }
}

function checkEndpoint(endpoint: EndpointConfig, path: Path, seen: Set<string>, error: Report): void {
  if ((endpoint.address === undefined) === (endpoint.srv === undefined))
    error(path, "expected exactly one of address and srv");
  if (endpoint.address === undefined) return;
  const address = parseAddress(endpoint.address);
  if (address === undefined) {
    const isTls = endpoint.address.startsWith("https://");
    const hint = isTls
      ? "write host:port, and `connections: { tls: {} }` for the pool"
      : "write host:port, such as 10.0.0.1:80";
    error(path, `expected an address with a port, found ${JSON.stringify(endpoint.address)}`, hint);
    return;
  }
  const key = `${address.host}:${address.port}`;
  if (seen.has(key)) error(path, `${endpoint.address} is in this pool already`);
  seen.add(key);
}

function checkNetwork(text: string, path: Path, error: Report): void {
  if (parseNetwork(text) === undefined)
    error(path, `expected an address or network such as 10.0.0.0/8, found ${JSON.stringify(text)}`);
}

function attempt(build: () => unknown, path: Path, error: Report): void {
  try {
    build();
  } catch (failure) {
    if (!(failure instanceof EvenkeelError)) throw failure;
    error(path, failure.message);
  }
}
