/** What the admin API shows and changes, taken from the supervisor. */
import type { ApiBackend } from "../admin/api.ts";
import type {
  AgentApiView,
  EndpointAddRequest,
  EndpointChangeRequest,
  EndpointView,
  PoolSummary,
  PoolView,
  VersionView,
} from "../admin/api-types.ts";
import { EventStreams } from "../admin/event-stream.ts";
import type { Clock, Timers } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import type { AgentView } from "../health/agent-state.ts";
import { ENDPOINT, POOL } from "../observability/metrics-table.ts";
import type { EndpointConfig } from "../upstreams/schema.ts";
import { endpointSchema } from "../upstreams/schema.ts";
import { reasonsAgainst } from "./endpoint-reasons.ts";
import { EndpointRegistry } from "./endpoint-registry.ts";
import type { EndpointStatus } from "./endpoint-status.ts";
import { circuitOf } from "./exposition.ts";
import { shownConfig } from "./shown-config.ts";
import type { Supervisor } from "./supervisor.ts";
import { VERSION } from "./version.ts";

/** Checks and changes that are shown of an endpoint. */
const HISTORY = 20;

/** What the supervisor does not know. */
export interface ProcessState {
  /** What came from the environment and from files, with what stands for it in the configuration. */
  outside(): ReadonlyMap<string, string>;
  /** Why nothing can be changed just now, or "". */
  whyNoChanges(): string;
}

export class AdminBackend implements ApiBackend {
  readonly events: EventStreams;
  readonly #supervisor: Supervisor;
  readonly #clock: Clock;
  readonly #process: ProcessState;

  constructor(supervisor: Supervisor, clock: Clock, timers: Timers, process: ProcessState) {
    this.#supervisor = supervisor;
    this.#clock = clock;
    this.#process = process;
    this.events = new EventStreams(supervisor.events, timers);
  }

  get token(): string | undefined {
    const admin = this.#supervisor.config?.admin;
    return admin === undefined || admin === false ? undefined : admin.token;
  }

  version(): VersionView {
    const { generation, links } = this.#supervisor;
    return { version: VERSION, pid: process.pid, generation, workers: links.length };
  }

  config(): unknown {
    return shownConfig(this.#supervisor.config, this.#process.outside());
  }

  pools(): PoolSummary[] {
    return Object.keys(this.#supervisor.config?.pools ?? {}).map((name) => {
      const { endpoints: _endpoints, ...summary } = this.pool(name) as PoolView;
      return summary;
    });
  }

  pool(name: string): PoolView | undefined {
    const { config, endpoints, rows, tables } = this.#supervisor;
    if (config === undefined || !Object.hasOwn(config.pools, name)) return undefined;
    const views = endpoints.list(name).map((status) => this.#view(status));
    const row = rows.pool.get(name);
    return {
      name,
      algorithm: config.pools[name]?.balance.algorithm ?? "",
      endpointCount: views.length,
      usable: views.filter(({ usable }) => usable).length,
      degraded: views.filter(({ usable, health }) => usable && health === "degraded").length,
      blockedBy: this.#supervisor.watches.required.missing(name),
      inFlight: views.reduce((sum, { inFlight }) => sum + inFlight, 0),
      waiting: row === undefined ? 0 : tables.metrics.read("pool", row, POOL.waiting),
      sharing: this.#supervisor.watches.sharedLimits.of(name) ?? null,
      endpoints: views,
    };
  }

  endpoint(pool: string, id: string): EndpointView | undefined {
    const wanted = EndpointRegistry.idOf(id);
    const status = this.#supervisor.endpoints.list(pool).find((known) => known.id === wanted);
    return status === undefined ? undefined : this.#view(status);
  }

  change(pool: string, id: string, change: EndpointChangeRequest): string {
    const refusal = this.#process.whyNoChanges();
    if (refusal !== "") return refusal;
    return this.#supervisor.endpoints.change(pool, id, change) ? "" : `pool ${pool} has no endpoint ${id}`;
  }

  add(pool: string, request: EndpointAddRequest): { problem: string; id: string } {
    const refusal = this.#process.whyNoChanges();
    if (refusal !== "") return { problem: refusal, id: "" };
    const endpoint = endpointSchema.parse(withoutUndefined(request)) as EndpointConfig;
    try {
      const problem = this.#supervisor.endpoints.add(pool, endpoint);
      return { problem, id: EndpointRegistry.idOf(request.address) };
    } catch (error) {
      if (!(error instanceof EvenkeelError)) throw error;
      return { problem: error.message, id: "" };
    }
  }

  remove(pool: string, id: string): string {
    const refusal = this.#process.whyNoChanges();
    if (refusal !== "") return refusal;
    return this.#supervisor.endpoints.remove(pool, id) ? "" : `pool ${pool} has no endpoint ${id}`;
  }

  #view(status: EndpointStatus): EndpointView {
    const { pool, id, row, state, weight, warmth, drainLeftMs, checks, agent } = status;
    const { endpoints, metrics } = this.#supervisor.tables;
    const against = reasonsAgainst(status, this.#supervisor.watches.required.missing(pool));
    const { reason, sinceMs } = against[0] ?? status;
    return {
      pool,
      endpoint: id,
      state,
      health: state === "maintenance" || status.reason === "not checked" ? "unchecked" : status.status,
      healthReason: status.reason,
      usable: against.length === 0 && endpoints.isUsable(row),
      reason,
      against: against.map((one) => one.reason),
      since: this.#time(sinceMs),
      agent: agent === undefined ? null : this.#agentView(agent),
      circuit: circuitOf(this.#supervisor, pool, row) ?? null,
      weight,
      effectiveWeight: Math.round(weight * (agent?.weightPercent ?? 100) * warmth) / 100,
      tier: status.tier,
      maxConnections: status.maxConnections,
      elsewhere: endpoints.elsewhere(row),
      inFlight: endpoints.inFlight(row),
      requests: metrics.read("endpoint", row, ENDPOINT.attempts),
      failures: metrics.read("endpoint", row, ENDPOINT.failures),
      origin: status.added ? "operator" : "configuration",
      drainLeftMs: drainLeftMs === undefined ? null : Math.round(drainLeftMs),
      checks: checks.slice(-HISTORY).map(({ atMs, passed, degraded = false, reason: why, latencyMs }) => {
        return { time: this.#time(atMs), passed, degraded, reason: why, latencyMs: Math.round(latencyMs * 10) / 10 };
      }),
      changes: this.#supervisor.events.of(pool, id).slice(-HISTORY),
    };
  }

  #agentView({ text, reason, state, isUp, weightPercent, heardMs, problem }: AgentView): AgentApiView {
    const heard = heardMs === undefined ? null : this.#time(heardMs);
    return { says: text, reason, state, up: isUp, weightPercent, heard, problem };
  }

  #time(atMs: number): string {
    return new Date(this.#clock.wallNow() - (this.#clock.now() - atMs)).toISOString();
  }
}

function withoutUndefined(request: EndpointAddRequest): object {
  return Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined));
}
