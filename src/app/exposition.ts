/** What the admin server shows of this process. */
import type { AgentView } from "../health/agent-state.ts";
import { type MetricsInput, renderMetrics } from "../observability/prometheus.ts";
import { type BreakerState, breakerStateIn } from "../resilience/circuit-breaker.ts";
import { defaultRouteName } from "./build-action.ts";
import type { Supervisor } from "./supervisor.ts";
import { VERSION } from "./version.ts";

export function metricsText(supervisor: Supervisor, lastReloadGood: boolean): string {
  const { tables, rows, endpoints, certificates, config, generation, restarts, links } = supervisor;
  const named = (names: readonly string[], of: { get(name: string): number | undefined }) =>
    Object.fromEntries(names.flatMap((name) => (of.get(name) === undefined ? [] : [[name, of.get(name) as number]])));
  const routes = config?.routes.map((route, index) => route.name ?? `route-${index + 1}`) ?? [];
  const listeners = Object.keys(config?.listeners ?? {});
  return renderMetrics({
    table: tables.metrics,
    listeners: named(listeners, rows.listener),
    routes: named([...routes, ...listeners.map(defaultRouteName)], rows.route),
    pools: named(Object.keys(config?.pools ?? {}), rows.pool),
    endpoints: endpoints.list().map((endpoint) => ({
      ...endpoint,
      inFlight: tables.endpoints.inFlight(endpoint.row),
      elsewhere: tables.endpoints.elsewhere(endpoint.row),
      eligible: tables.endpoints.isUsable(endpoint.row),
      degraded: tables.endpoints.isDegraded(endpoint.row),
      held: endpoint.hold !== undefined,
      agent: agentSample(endpoint.agent),
      ejected: tables.endpoints.isEjected(endpoint.row),
      circuit: circuitOf(supervisor, endpoint.pool, endpoint.row),
    })),
    certificates: certificates.samples,
    panics: supervisor.watches.panics.list(),
    blocked: supervisor.watches.required.list().map(({ pool, missing }) => ({ pool, isBlocked: missing.length > 0 })),
    sharing: sharingOf(supervisor),
    ejections: supervisor.watches.outliers.ejections(),
    circuits: Object.fromEntries(
      Object.entries(named(Object.keys(config?.pools ?? {}), rows.pool)).flatMap(([pool, row]) =>
        hasCircuit(supervisor, pool, "pool") ? [[pool, breakerStateIn(tables.resilience.poolBreaker(row))]] : [],
      ),
    ),
    version: VERSION,
    generation,
    lastReloadGood,
    workers: links,
    restarts,
  });
}

function sharingOf({ watches }: Supervisor): MetricsInput["sharing"] {
  const { isHearing, balancers } = watches.sharedLimits;
  return isHearing === undefined || balancers === undefined ? undefined : { isHearing, balancers };
}

/** Nothing is shown of an agent that was not asked yet, or of answers that might have said something and never did. */
function agentSample(agent: AgentView | undefined): MetricsInput["endpoints"][number]["agent"] {
  if (agent === undefined || (agent.heardMs === undefined && agent.problem === "")) return undefined;
  return { isHeard: agent.problem === "", weightPercent: agent.weightPercent };
}

/** State of the circuit of an endpoint; undefined when it has none. */
export function circuitOf(supervisor: Supervisor, pool: string, row: number): BreakerState | undefined {
  if (!hasCircuit(supervisor, pool, "endpoint")) return undefined;
  return breakerStateIn(supervisor.tables.resilience.endpointBreaker(row));
}

function hasCircuit({ config }: Supervisor, pool: string, scope: "endpoint" | "pool"): boolean {
  const breaker = config?.pools[pool]?.circuitBreaker ?? false;
  return breaker !== false && breaker.scope === scope;
}

/** Names of the pools none of whose endpoints may be picked now. */
export function poolsWithoutEndpoint({ config, endpoints, tables }: Supervisor): string[] {
  const usable = new Set(
    endpoints
      .list()
      .filter(({ row }) => tables.endpoints.isUsable(row) && tables.endpoints.weight(row) > 0)
      .map(({ pool }) => pool),
  );
  return Object.keys(config?.pools ?? {}).filter((pool) => !usable.has(pool));
}
