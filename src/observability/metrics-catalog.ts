/** Every metric there is: the reference page and the exposition are both made from this table. */

export interface Metric {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  readonly help: string;
}

export const METRICS = {
  evenkeel_build_info: { type: "gauge", labels: ["version"], help: "Always 1; the version is in the label." },
  evenkeel_config_generation: {
    type: "gauge",
    labels: [],
    help: "Configurations tried since the start, the first included.",
  },
  evenkeel_config_last_reload_success: {
    type: "gauge",
    labels: [],
    help: "1 when the last reload was good, 0 when it was refused.",
  },
  evenkeel_workers: { type: "gauge", labels: [], help: "Workers that are serving." },
  evenkeel_worker_restarts_total: { type: "counter", labels: [], help: "Workers that ended and were replaced." },
  evenkeel_worker_memory_bytes: { type: "gauge", labels: ["worker"], help: "Resident memory of a worker." },
  evenkeel_listener_connections_total: {
    type: "counter",
    labels: ["listener"],
    help: "Connections accepted; flows begun.",
  },
  evenkeel_listener_connections_open: { type: "gauge", labels: ["listener"], help: "Connections and flows open now." },
  evenkeel_listener_connections_rejected_total: {
    type: "counter",
    labels: ["listener"],
    help: "Connections and flows refused because there were too many.",
  },
  evenkeel_listener_requests_total: { type: "counter", labels: ["listener"], help: "Exchanges ended." },
  evenkeel_listener_received_bytes_total: { type: "counter", labels: ["listener"], help: "Bytes of requests." },
  evenkeel_listener_sent_bytes_total: { type: "counter", labels: ["listener"], help: "Bytes of answers." },
  evenkeel_listener_received_datagrams_total: {
    type: "counter",
    labels: ["listener"],
    help: "UDP: datagrams of clients that were passed on.",
  },
  evenkeel_listener_sent_datagrams_total: {
    type: "counter",
    labels: ["listener"],
    help: "UDP: datagrams of endpoints that were passed on.",
  },
  evenkeel_listener_dropped_datagrams_total: {
    type: "counter",
    labels: ["listener"],
    help: "UDP: datagrams that were too long, had no flow or endpoint to go to, or that the kernel did not take.",
  },
  evenkeel_listener_tls_handshakes_total: {
    type: "counter",
    labels: ["listener", "result"],
    help: "TLS handshakes: full, resumed (a client that came back), or failed.",
  },
  evenkeel_certificate_expiry_timestamp_seconds: {
    type: "gauge",
    labels: ["listener", "names", "key"],
    help: "When a certificate in use expires, its chain considered, in seconds since the Unix epoch.",
  },
  evenkeel_route_responses_total: {
    type: "counter",
    labels: ["route", "class"],
    help: "Exchanges ended, by class of status; none when no answer was sent.",
  },
  evenkeel_route_request_duration_seconds: {
    type: "histogram",
    labels: ["route"],
    help: "From the first byte of a request to the last of its answer.",
  },
  evenkeel_pool_retries_total: { type: "counter", labels: ["pool"], help: "Attempts after the first." },
  evenkeel_pool_retries_over_budget_total: {
    type: "counter",
    labels: ["pool"],
    help: "Attempts that would have followed but for the retry budget.",
  },
  evenkeel_pool_hedges_total: {
    type: "counter",
    labels: ["pool"],
    help: "Attempts that were made beside one that was slow; retries, too.",
  },
  evenkeel_pool_hedges_won_total: {
    type: "counter",
    labels: ["pool"],
    help: "Of these, the ones that answered before the other did.",
  },
  evenkeel_pool_queued_total: { type: "counter", labels: ["pool"], help: "Requests that had to wait for an endpoint." },
  evenkeel_pool_waiting: { type: "gauge", labels: ["pool"], help: "Requests waiting now." },
  evenkeel_pool_refused_total: { type: "counter", labels: ["pool"], help: "Requests that never got an endpoint." },
  evenkeel_pool_sessions_total: {
    type: "counter",
    labels: ["pool", "outcome"],
    help: "Requests of sessions: new, kept on their endpoint, moved to another, or refused because it was gone.",
  },
  evenkeel_pool_sessions_displaced_total: {
    type: "counter",
    labels: ["pool"],
    help: "New sessions for which another one had to leave the table before its time.",
  },
  evenkeel_pool_session_fallbacks_total: {
    type: "counter",
    labels: ["pool"],
    help: "Sessions looked up in this balancer's own table because Redis did not answer.",
  },
  evenkeel_endpoint_attempts_total: { type: "counter", labels: ["pool", "endpoint"], help: "Attempts begun." },
  evenkeel_endpoint_failures_total: {
    type: "counter",
    labels: ["pool", "endpoint"],
    help: "Attempts that failed: no connection, no answer, or a broken one.",
  },
  evenkeel_shared_limits_reachable: {
    type: "gauge",
    labels: [],
    help: "1 while the balancers that share limits are heard, 0 while Redis does not answer.",
  },
  evenkeel_shared_limits_balancers: {
    type: "gauge",
    labels: [],
    help: "Balancers that share limits, this one included.",
  },
  evenkeel_endpoint_reserved_elsewhere: {
    type: "gauge",
    labels: ["pool", "endpoint"],
    help: "Places of its maxConnections that are for other balancers.",
  },
  evenkeel_endpoint_in_flight: { type: "gauge", labels: ["pool", "endpoint"], help: "Exchanges in flight now." },
  evenkeel_endpoint_eligible: {
    type: "gauge",
    labels: ["pool", "endpoint"],
    help: "1 when the endpoint may be picked, be it degraded.",
  },
  evenkeel_endpoint_weight: { type: "gauge", labels: ["pool", "endpoint"], help: "Weight as it is set." },
  evenkeel_endpoint_admin_state: {
    type: "gauge",
    labels: ["pool", "endpoint", "state"],
    help: "1 for the state that the configuration or an operator has given it.",
  },
  evenkeel_endpoint_state: {
    type: "gauge",
    labels: ["pool", "endpoint", "state"],
    help: "1 for the state that its health checks have come to.",
  },
  evenkeel_endpoint_connections_opened_total: {
    type: "counter",
    labels: ["pool", "endpoint"],
    help: "Connections made.",
  },
  evenkeel_endpoint_connections_open: {
    type: "gauge",
    labels: ["pool", "endpoint"],
    help: "Connections open now, idle ones included.",
  },
  evenkeel_endpoint_received_bytes_total: {
    type: "counter",
    labels: ["pool", "endpoint"],
    help: "Bytes received from the endpoint.",
  },
  evenkeel_endpoint_sent_bytes_total: {
    type: "counter",
    labels: ["pool", "endpoint"],
    help: "Bytes of request heads and the bodies sent with them.",
  },
  evenkeel_endpoint_first_byte_seconds: {
    type: "histogram",
    labels: ["pool", "endpoint"],
    help: "From sending a request to the first byte of its answer.",
  },
  evenkeel_endpoint_ejected: {
    type: "gauge",
    labels: ["pool", "endpoint"],
    help: "1 while outlier detection keeps the endpoint out.",
  },
  evenkeel_endpoint_degraded: {
    type: "gauge",
    labels: ["pool", "endpoint"],
    help: "1 while the endpoint is picked only when the healthy ones do not suffice.",
  },
  evenkeel_endpoint_held: {
    type: "gauge",
    labels: ["pool", "endpoint"],
    help: "1 while the endpoint is held back for going up and down.",
  },
  evenkeel_endpoint_agent_heard: {
    type: "gauge",
    labels: ["pool", "endpoint"],
    help: "1 when its agent was heard and understood the last time.",
  },
  evenkeel_endpoint_agent_weight_percent: {
    type: "gauge",
    labels: ["pool", "endpoint"],
    help: "What its agent wants of its weight.",
  },
  evenkeel_endpoint_ejections_total: {
    type: "counter",
    labels: ["pool", "reason"],
    help: "Ejections by outlier detection, by what the endpoint did.",
  },
  evenkeel_circuits_opened_total: {
    type: "counter",
    labels: ["pool"],
    help: "Times that a circuit of the pool or of one of its endpoints has opened.",
  },
  evenkeel_circuit_state: {
    type: "gauge",
    labels: ["pool", "endpoint", "state"],
    help: "1 for the state of a circuit: closed, open or half-open; without an endpoint for the pool's own.",
  },
  evenkeel_pool_blocked: {
    type: "gauge",
    labels: ["pool"],
    help: "1 while a pool that it requires has no usable endpoint.",
  },
  evenkeel_pool_panic: {
    type: "gauge",
    labels: ["pool"],
    help: "1 while so few endpoints are available that requests go to all of a tier, well or not.",
  },
  evenkeel_pool_panicked_total: {
    type: "counter",
    labels: ["pool"],
    help: "Attempts on an endpoint of a tier in panic.",
  },
  evenkeel_pool_fallbacks_total: {
    type: "counter",
    labels: ["pool"],
    help: "Requests that went on to the fallback pool.",
  },
  evenkeel_refusals_total: {
    type: "counter",
    labels: ["reason"],
    help: "Exchanges that evenkeel itself ended, by reason.",
  },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof METRICS;
