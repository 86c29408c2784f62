/** The metrics as Prometheus reads them (text format 0.0.4). */
import { METRICS, type Metric, type MetricName } from "./metrics-catalog.ts";
import {
  DURATION_BUCKETS_MS,
  ENDPOINT,
  type Kind,
  LISTENER,
  type MetricsTable,
  POOL,
  REASONS,
  ROUTE,
} from "./metrics-table.ts";

/** Rows by name, and what is known besides the table. */
export interface MetricsInput {
  readonly table: MetricsTable;
  readonly listeners: Readonly<Record<string, number>>;
  readonly routes: Readonly<Record<string, number>>;
  readonly pools: Readonly<Record<string, number>>;
  readonly endpoints: readonly EndpointMetrics[];
  readonly certificates: readonly CertificateSample[];
  readonly ejections: readonly { readonly pool: string; readonly reason: string; readonly count: number }[];
  /** Pools that can panic. */
  readonly panics: readonly { readonly pool: string; readonly panics: boolean }[];
  /** Pools that require others. */
  readonly blocked: readonly { readonly pool: string; readonly isBlocked: boolean }[];
  /** Undefined when limits are not shared. */
  readonly sharing: { readonly isHearing: boolean; readonly balancers: number } | undefined;
  /** State of the circuits of pools that have one. */
  readonly circuits: Readonly<Record<string, string>>;
  readonly version: string;
  readonly generation: number;
  readonly lastReloadGood: boolean;
  readonly workers: readonly { readonly memoryBytes: number }[];
  readonly restarts: number;
}

/** When a certificate of a listener expires, in milliseconds since the Unix epoch. */
export interface CertificateSample {
  readonly listener: string;
  readonly names: string;
  readonly key: string;
  readonly notAfterMs: number;
}

export interface EndpointMetrics {
  readonly pool: string;
  readonly id: string;
  readonly row: number;
  readonly status: string;
  /** `ready`, `drain` or `maintenance`. */
  readonly state: string;
  readonly inFlight: number;
  /** Places of its limit that are for other balancers. */
  readonly elsewhere: number;
  readonly eligible: boolean;
  readonly weight: number;
  readonly ejected: boolean;
  readonly degraded: boolean;
  /** Held back for going up and down. */
  readonly held: boolean;
  /** Undefined when it has none; `weightPercent` is what it wants of its weight. */
  readonly agent: { readonly isHeard: boolean; readonly weightPercent: number } | undefined;
  /** Undefined when it has none. */
  readonly circuit: string | undefined;
}

const STATES = ["checking", "healthy", "degraded", "unhealthy"] as const;
const ADMIN_STATES = ["ready", "drain", "maintenance"] as const;
const CIRCUIT_STATES = ["closed", "open", "half-open"] as const;
const CLASSES = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"] as const;

export function renderMetrics(input: MetricsInput): string {
  const page = new Page();
  renderProcess(page, input);
  renderListeners(page, input);
  renderTls(page, input);
  renderRoutes(page, input);
  renderPools(page, input);
  renderEndpoints(page, input);
  renderSharing(page, input);
  renderReasons(page, input);
  renderPolicies(page, input);
  REASONS.forEach((reason, row) => {
    const count = input.table.read("reason", row, 0);
    if (count > 0) page.sample("evenkeel_refusals_total", { reason }, count);
  });
  return page.text();
}

function renderProcess(page: Page, input: MetricsInput): void {
  page.sample("evenkeel_build_info", { version: input.version }, 1);
  page.sample("evenkeel_config_generation", {}, input.generation);
  page.sample("evenkeel_config_last_reload_success", {}, input.lastReloadGood ? 1 : 0);
  page.sample("evenkeel_workers", {}, input.workers.length);
  page.sample("evenkeel_worker_restarts_total", {}, input.restarts);
  input.workers.forEach(({ memoryBytes }, worker) => {
    page.sample("evenkeel_worker_memory_bytes", { worker: String(worker) }, memoryBytes);
  });
}

function renderListeners(page: Page, { table, listeners }: MetricsInput): void {
  for (const [listener, row] of Object.entries(listeners)) {
    const read = (field: number): number => table.read("listener", row, field);
    page.sample("evenkeel_listener_connections_total", { listener }, read(LISTENER.connections));
    page.sample("evenkeel_listener_connections_open", { listener }, read(LISTENER.open));
    page.sample("evenkeel_listener_connections_rejected_total", { listener }, read(LISTENER.rejected));
    page.sample("evenkeel_listener_requests_total", { listener }, read(LISTENER.requests));
    page.sample("evenkeel_listener_received_bytes_total", { listener }, read(LISTENER.bytesIn));
    page.sample("evenkeel_listener_sent_bytes_total", { listener }, read(LISTENER.bytesOut));
    if (read(LISTENER.datagramsIn) + read(LISTENER.datagramsDropped) === 0) continue;
    page.sample("evenkeel_listener_received_datagrams_total", { listener }, read(LISTENER.datagramsIn));
    page.sample("evenkeel_listener_sent_datagrams_total", { listener }, read(LISTENER.datagramsOut));
    page.sample("evenkeel_listener_dropped_datagrams_total", { listener }, read(LISTENER.datagramsDropped));
  }
}

function renderTls(page: Page, { table, listeners, certificates }: MetricsInput): void {
  for (const listener of new Set(certificates.map((certificate) => certificate.listener))) {
    const row = listeners[listener];
    if (row === undefined) continue;
    const read = (field: number): number => table.read("listener", row, field);
    const resumed = read(LISTENER.handshakesResumed);
    const handshake = (result: string, count: number): void =>
      page.sample("evenkeel_listener_tls_handshakes_total", { listener, result }, count);
    handshake("full", read(LISTENER.handshakes) - resumed);
    handshake("resumed", resumed);
    handshake("failed", read(LISTENER.handshakesFailed));
  }
  for (const { listener, names, key, notAfterMs } of certificates)
    page.sample("evenkeel_certificate_expiry_timestamp_seconds", { listener, names, key }, notAfterMs / 1_000);
}

function renderRoutes(page: Page, { table, routes }: MetricsInput): void {
  for (const [route, row] of Object.entries(routes)) {
    const counts = CLASSES.map((_, index) => table.read("route", row, ROUTE.statusClass + index));
    counts.forEach((count, index) => {
      const name = CLASSES[index] as string;
      if (count > 0 || name === "2xx") page.sample("evenkeel_route_responses_total", { route, class: name }, count);
    });
    // Thousands of routes that nobody uses would be thousands of empty histograms.
    if (counts.some((count) => count > 0)) {
      page.histogram("evenkeel_route_request_duration_seconds", { route }, table, "route", row, ROUTE.duration);
    }
  }
}

function renderPools(page: Page, { table, pools }: MetricsInput): void {
  for (const [pool, row] of Object.entries(pools)) {
    page.sample("evenkeel_pool_retries_total", { pool }, table.read("pool", row, POOL.retries));
    const overBudget = table.read("pool", row, POOL.retriesOverBudget);
    page.sample("evenkeel_pool_retries_over_budget_total", { pool }, overBudget);
    page.sample("evenkeel_pool_hedges_total", { pool }, table.read("pool", row, POOL.hedges));
    page.sample("evenkeel_pool_hedges_won_total", { pool }, table.read("pool", row, POOL.hedgesWon));
    page.sample("evenkeel_pool_queued_total", { pool }, table.read("pool", row, POOL.queued));
    page.sample("evenkeel_pool_waiting", { pool }, table.read("pool", row, POOL.waiting));
    page.sample("evenkeel_pool_refused_total", { pool }, table.read("pool", row, POOL.refused));
    renderSessions(page, table, pool, row);
  }
}

/** Only of pools that have had a session. */
function renderSessions(page: Page, table: MetricsTable, pool: string, row: number): void {
  const read = (field: number): number => table.read("pool", row, field);
  const outcomes = {
    new: read(POOL.sessionsNew),
    kept: read(POOL.sessionsKept),
    moved: read(POOL.sessionsMoved),
    refused: read(POOL.sessionsRefused),
  };
  if (Object.values(outcomes).every((count) => count === 0)) return;
  for (const [outcome, count] of Object.entries(outcomes))
    page.sample("evenkeel_pool_sessions_total", { pool, outcome }, count);
  page.sample("evenkeel_pool_sessions_displaced_total", { pool }, read(POOL.sessionsDisplaced));
  page.sample("evenkeel_pool_session_fallbacks_total", { pool }, read(POOL.sessionFallbacks));
}

function renderEndpoints(page: Page, { table, endpoints }: MetricsInput): void {
  for (const { pool, id, row, status, state: adminState, inFlight, eligible, weight } of endpoints) {
    const labels = { pool, endpoint: id };
    const read = (field: number): number => table.read("endpoint", row, field);
    page.sample("evenkeel_endpoint_attempts_total", labels, read(ENDPOINT.attempts));
    page.sample("evenkeel_endpoint_failures_total", labels, read(ENDPOINT.failures));
    page.sample("evenkeel_endpoint_in_flight", labels, inFlight);
    page.sample("evenkeel_endpoint_eligible", labels, eligible ? 1 : 0);
    page.sample("evenkeel_endpoint_weight", labels, weight);
    for (const state of STATES) page.sample("evenkeel_endpoint_state", { ...labels, state }, state === status ? 1 : 0);
    for (const state of ADMIN_STATES)
      page.sample("evenkeel_endpoint_admin_state", { ...labels, state }, state === adminState ? 1 : 0);
    page.sample("evenkeel_endpoint_connections_opened_total", labels, read(ENDPOINT.connectionsOpened));
    page.sample("evenkeel_endpoint_connections_open", labels, read(ENDPOINT.connectionsOpen));
    page.sample("evenkeel_endpoint_received_bytes_total", labels, read(ENDPOINT.bytesIn));
    page.sample("evenkeel_endpoint_sent_bytes_total", labels, read(ENDPOINT.bytesOut));
    page.histogram("evenkeel_endpoint_first_byte_seconds", labels, table, "endpoint", row, ENDPOINT.firstByte);
  }
}

/** Only of balancers that share limits. */
function renderSharing(page: Page, { sharing, endpoints }: MetricsInput): void {
  if (sharing === undefined) return;
  page.sample("evenkeel_shared_limits_reachable", {}, sharing.isHearing ? 1 : 0);
  page.sample("evenkeel_shared_limits_balancers", {}, sharing.balancers);
  for (const { pool, id, elsewhere } of endpoints)
    page.sample("evenkeel_endpoint_reserved_elsewhere", { pool, endpoint: id }, elsewhere);
}

/** What stands against endpoints beside the verdict of their checks. */
function renderReasons(page: Page, { endpoints, blocked }: MetricsInput): void {
  for (const { pool, id, ejected, degraded, held, agent } of endpoints) {
    const labels = { pool, endpoint: id };
    page.sample("evenkeel_endpoint_ejected", labels, ejected ? 1 : 0);
    page.sample("evenkeel_endpoint_degraded", labels, degraded ? 1 : 0);
    page.sample("evenkeel_endpoint_held", labels, held ? 1 : 0);
    if (agent === undefined) continue;
    page.sample("evenkeel_endpoint_agent_heard", labels, agent.isHeard ? 1 : 0);
    page.sample("evenkeel_endpoint_agent_weight_percent", labels, agent.weightPercent);
  }
  for (const { pool, isBlocked } of blocked) page.sample("evenkeel_pool_blocked", { pool }, isBlocked ? 1 : 0);
}

function renderPolicies(page: Page, { table, pools, endpoints, ejections, circuits, panics }: MetricsInput): void {
  for (const { pool, reason, count } of ejections)
    page.sample("evenkeel_endpoint_ejections_total", { pool, reason }, count);
  for (const { pool, panics: now } of panics) page.sample("evenkeel_pool_panic", { pool }, now ? 1 : 0);
  for (const [pool, row] of Object.entries(pools)) {
    page.sample("evenkeel_pool_panicked_total", { pool }, table.read("pool", row, POOL.panicked));
    page.sample("evenkeel_pool_fallbacks_total", { pool }, table.read("pool", row, POOL.fellBack));
  }
  for (const [pool, row] of Object.entries(pools))
    page.sample("evenkeel_circuits_opened_total", { pool }, table.read("pool", row, POOL.circuitsOpened));
  const circuit = (labels: Labels, now: string): void => {
    for (const state of CIRCUIT_STATES)
      page.sample("evenkeel_circuit_state", { ...labels, state }, state === now ? 1 : 0);
  };
  for (const [pool, state] of Object.entries(circuits)) circuit({ pool, endpoint: "" }, state);
  for (const { pool, id, circuit: state } of endpoints) if (state !== undefined) circuit({ pool, endpoint: id }, state);
}

type Labels = Readonly<Record<string, string>>;

/** Gathers samples by metric: a family must stand together, whatever order its samples come in. */
class Page {
  readonly #families = new Map<MetricName, string[]>();

  sample(name: MetricName, labels: Labels, value: number): void {
    this.#lines(name).push(`${name}${labelText(labels)} ${value}\n`);
  }

  /** `firstField` is where the buckets begin in the row; the sum follows them. */
  histogram(name: MetricName, labels: Labels, table: MetricsTable, kind: Kind, row: number, firstField: number): void {
    const lines = this.#lines(name);
    let cumulative = 0;
    DURATION_BUCKETS_MS.forEach((boundMs, bucket) => {
      cumulative += table.read(kind, row, firstField + bucket);
      lines.push(`${name}_bucket${labelText({ ...labels, le: String(boundMs / 1_000) })} ${cumulative}\n`);
    });
    const buckets = DURATION_BUCKETS_MS.length;
    cumulative += table.read(kind, row, firstField + buckets);
    lines.push(`${name}_bucket${labelText({ ...labels, le: "+Inf" })} ${cumulative}\n`);
    lines.push(`${name}_sum${labelText(labels)} ${table.read(kind, row, firstField + buckets + 1) / 1_000}\n`);
    lines.push(`${name}_count${labelText(labels)} ${cumulative}\n`);
  }

  text(): string {
    let text = "";
    for (const [name, lines] of this.#families) {
      const { help, type }: Metric = METRICS[name];
      text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
    }
    return text;
  }

  #lines(name: MetricName): string[] {
    const lines = this.#families.get(name) ?? [];
    this.#families.set(name, lines);
    return lines;
  }
}

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`,
  );
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}
