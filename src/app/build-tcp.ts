/** From configuration to what TCP listeners serve. */
import { at } from "../base/place.ts";
import type { Random } from "../base/random.ts";
import type { RouteConfig } from "../http/schema.ts";
import { MetricsWriter } from "../observability/metrics-table.ts";
import type { Pool } from "../pools/pool.ts";
import { compileRoutes, type RouteEntry } from "../routing/router.ts";
import type { MatchConfig } from "../routing/schema.ts";
import type { TcpRoute, TcpSnapshot } from "../tcp/snapshot.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";
import { buildProxyProtocol, buildSplit, defaultRouteName, LAST_PRIORITY, poolNamed } from "./build-action.ts";
import { buildListenerTls } from "./build-tls.ts";
import type { WorkerUpdate } from "./data-path.ts";

/** The snapshot of every TCP listener, by name. Throws an EvenkeelError that names the place. */
export function buildTcpSnapshots(
  { config, rows, certificates }: WorkerUpdate,
  pools: ReadonlyMap<string, Pool>,
  random: Random,
  previous: (listener: string) => ListenerTls | undefined,
): Map<string, TcpSnapshot> {
  const snapshots = new Map<string, TcpSnapshot>();
  for (const [name, listener] of Object.entries(config.listeners)) {
    if (listener.protocol !== "tcp") continue;
    const entries = buildPoolRoutes(name, listener.pool, { config, rows }, pools, random);
    const { tls } = listener;
    const snapshot = at(
      ["listeners", name],
      (): TcpSnapshot => ({
        name,
        tls: tls && at(["tls"], () => buildListenerTls(tls, certificates[name] ?? [], [], previous(name))),
        proxyProtocol: buildProxyProtocol(listener.proxyProtocol),
        router: compileRoutes(entries),
        readsHello: tls === undefined && entries.some(({ match }) => asksForHello(match)),
        timeouts: listener.timeouts,
        cells: MetricsWriter.rowStart("listener", rows.listeners[name] ?? 0),
      }),
    );
    snapshots.set(name, snapshot);
  }
  return snapshots;
}

/** The routes of a listener that sees no requests; last of all its own `pool`, if it has one. */
export function buildPoolRoutes(
  listener: string,
  ownPool: string | undefined,
  { config, rows }: Pick<WorkerUpdate, "config" | "rows">,
  pools: ReadonlyMap<string, Pool>,
  random: Random,
): RouteEntry<TcpRoute>[] {
  const entries: RouteEntry<TcpRoute>[] = [];
  for (const [index, route] of config.routes.entries()) {
    if (route.listeners?.includes(listener) !== true) continue;
    const name = route.name ?? `route-${index + 1}`;
    const target = at(["routes", index], () => buildRoute(name, route, pools, rows.routes, random));
    entries.push({ match: byServerName(route.match), priority: route.priority, target });
  }
  if (ownPool === undefined) return entries;
  const pool = poolNamed(ownPool, pools);
  const name = defaultRouteName(listener);
  const cells = MetricsWriter.rowStart("route", rows.routes[name] ?? 0);
  return [...entries, { match: {}, priority: LAST_PRIORITY, target: { name, choose: () => pool, cells } }];
}

function buildRoute(
  name: string,
  config: RouteConfig,
  pools: ReadonlyMap<string, Pool>,
  rows: Readonly<Record<string, number>>,
  random: Random,
): TcpRoute {
  const cells = MetricsWriter.rowStart("route", rows[name] ?? 0);
  if (config.split !== undefined) return { name, choose: buildSplit(config.split, pools, random), cells };
  const pool = poolNamed(config.pool ?? "", pools);
  return { name, choose: () => pool, cells };
}

/** Names are looked up where HTTP looks up hosts, so that they have the same precedence. */
function byServerName({ serverName, ...match }: MatchConfig): MatchConfig {
  return serverName === undefined ? match : { ...match, host: serverName };
}

function asksForHello(match: MatchConfig): boolean {
  if (match.host !== undefined || match.serverName !== undefined || match.alpn !== undefined) return true;
  const parts = [...(match.all ?? []), ...(match.any ?? []), ...(match.not === undefined ? [] : [match.not])];
  return parts.some(asksForHello);
}
