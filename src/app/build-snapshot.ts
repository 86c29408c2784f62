/** From configuration to what HTTP listeners serve: routes compiled, filters built, pools found by name. Cold, and loud about mistakes. */
import { parseListenAddress } from "../base/address.ts";
import { at } from "../base/place.ts";
import type { Random } from "../base/random.ts";
import { compileFilters } from "../filters/registry.ts";
import { type RouteConfig, routeSchema } from "../http/schema.ts";
import type { Shedding } from "../http/shedding.ts";
import type { Action, ListenerSnapshot, Route } from "../http/snapshot.ts";
import type { HttpListenerConfig } from "../listeners/schema.ts";
import { MetricsWriter } from "../observability/metrics-table.ts";
import type { Pool } from "../pools/pool.ts";
import type { LoadSheddingConfig } from "../resilience/schema.ts";
import { compileRedirect } from "../routing/redirect.ts";
import { compileRoutes, type RouteEntry } from "../routing/router.ts";
import { strictTransportSecurity } from "../tls/hsts.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";
import {
  buildFixedAnswer,
  buildProxyProtocol,
  buildSplit,
  defaultRouteName,
  LAST_PRIORITY,
  networkSet,
  poolNamed,
} from "./build-action.ts";
import { buildListenerTls } from "./build-tls.ts";
import type { WorkerUpdate } from "./data-path.ts";

/** What a listener's own pool goes by, which has no route in the file. */
const ROUTE_DEFAULTS = routeSchema.parse({});

/** The snapshot of every HTTP listener, by name. Throws an EvenkeelError that names the place. */
export function buildSnapshots(
  update: WorkerUpdate,
  pools: ReadonlyMap<string, Pool>,
  random: Random,
  previous: (listener: string) => ListenerTls | undefined,
  sheddingFor: (listener: string, config: LoadSheddingConfig) => Shedding | undefined,
): Map<string, ListenerSnapshot> {
  const { config, rows } = update;
  const isHttp = (name: string): boolean => config.listeners[name]?.protocol === "http";
  const routes = config.routes.flatMap((route, index) => {
    if (route.listeners !== undefined && !route.listeners.some(isHttp)) return [];
    const name = route.name ?? `route-${index + 1}`;
    return [{ config: route, route: at(["routes", index], () => buildRoute(name, route, pools, rows.routes, random)) }];
  });
  const snapshots = new Map<string, ListenerSnapshot>();
  for (const [name, listener] of Object.entries(config.listeners)) {
    if (listener.protocol !== "http") continue;
    const entries: RouteEntry<Route>[] = routes
      .filter(({ config: route }) => route.listeners === undefined || route.listeners.includes(name))
      .map(({ config: route, route: target }) => ({ match: route.match, priority: route.priority, target }));
    if (listener.pool !== undefined)
      entries.push({
        match: {},
        priority: LAST_PRIORITY,
        target: defaultRoute(name, listener.pool, pools, rows.routes),
      });
    snapshots.set(
      name,
      at(["listeners", name], () =>
        buildListener(
          name,
          listener,
          entries,
          rows.listeners[name] ?? 0,
          buildTls(name, listener, update, previous),
          sheddingFor(name, listener.loadShedding),
        ),
      ),
    );
  }
  return snapshots;
}

function buildListener(
  name: string,
  listener: HttpListenerConfig,
  entries: readonly RouteEntry<Route>[],
  row: number,
  tls: ListenerTls | undefined,
  shedding: Shedding | undefined,
): ListenerSnapshot {
  const port = parseListenAddress(listener.address)?.port ?? 0;
  const scheme = tls === undefined ? "http" : "https";
  const hsts = strictTransportSecurity(listener.tls?.hsts ?? false);
  return {
    name,
    port,
    scheme,
    tls,
    hstsLine: hsts === undefined ? "" : `Strict-Transport-Security: ${hsts}\r\n`,
    http2: listener.http2,
    forwardedLines: `\r\nX-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Port: ${port}\r\n`,
    proxyProtocol: buildProxyProtocol(listener.proxyProtocol),
    router: compileRoutes(entries),
    shedding,
    trustedProxies: listener.trustedProxies.length === 0 ? undefined : networkSet(listener.trustedProxies),
    maxRequestsPerConnection: listener.maxRequestsPerConnection,
    limits: { bytes: listener.limits.requestHead, fields: listener.limits.headers, bodyRate: listener.limits.bodyRate },
    timeouts: listener.timeouts,
    forwarding: listener.forwarding,
    cells: MetricsWriter.rowStart("listener", row),
  };
}

function buildTls(
  name: string,
  { tls, http2 }: HttpListenerConfig,
  { certificates }: WorkerUpdate,
  previous: (listener: string) => ListenerTls | undefined,
): ListenerTls | undefined {
  const protocols = http2 ? ["h2", "http/1.1"] : ["http/1.1"];
  return tls && at(["tls"], () => buildListenerTls(tls, certificates[name] ?? [], protocols, previous(name)));
}

function buildRoute(
  name: string,
  config: RouteConfig,
  pools: ReadonlyMap<string, Pool>,
  rows: Readonly<Record<string, number>>,
  random: Random,
): Route {
  const filters = compileFilters(config);
  return {
    name,
    action: buildAction(config, pools, random),
    requestFilters: filters.request,
    responseFilters: filters.response,
    timeouts: config.timeouts,
    maxBodySize: config.maxBodySize,
    upgrade: config.upgrade,
    importance: config.importance,
    cells: MetricsWriter.rowStart("route", rows[name] ?? 0),
  };
}

function buildAction(config: RouteConfig, pools: ReadonlyMap<string, Pool>, random: Random): Action {
  if (config.redirect !== undefined) {
    return { kind: "redirect", status: config.redirect.status, location: compileRedirect(config.redirect.to) };
  }
  if (config.respond !== undefined) {
    return { kind: "respond", ...buildFixedAnswer(config.respond) };
  }
  if (config.split !== undefined) return { kind: "split", choose: buildSplit(config.split, pools, random) };
  return { kind: "pool", pool: poolNamed(config.pool ?? "", pools) };
}

function defaultRoute(
  listener: string,
  pool: string,
  pools: ReadonlyMap<string, Pool>,
  rows: Readonly<Record<string, number>>,
): Route {
  const name = defaultRouteName(listener);
  return {
    name,
    action: { kind: "pool", pool: poolNamed(pool, pools) },
    requestFilters: null,
    responseFilters: null,
    timeouts: ROUTE_DEFAULTS.timeouts,
    maxBodySize: ROUTE_DEFAULTS.maxBodySize,
    upgrade: ROUTE_DEFAULTS.upgrade,
    importance: ROUTE_DEFAULTS.importance,
    cells: MetricsWriter.rowStart("route", rows[name] ?? 0),
  };
}
