/** What people write who come from other load balancers, and how it is said here. */

const WORDS: Readonly<Record<string, string>> = {
  server: "endpoints are listed under pools.<name>.endpoints",
  servers: "endpoints are listed under pools.<name>.endpoints",
  backend: "a backend is called a pool here: pools.<name>",
  backends: "a backend is called a pool here: pools.<name>",
  upstream: "an upstream is called a pool here: pools.<name>",
  upstreams: "an upstream is called a pool here: pools.<name>",
  frontend: "a frontend is called a listener here: listeners.<name>",
  frontends: "a frontend is called a listener here: listeners.<name>",
  entrypoints: "an entry point is called a listener here: listeners.<name>",
  cluster: "a cluster is called a pool here: pools.<name>",
  clusters: "a cluster is called a pool here: pools.<name>",
  service: "a service is called a pool here: pools.<name>",
  services: "a service is called a pool here: pools.<name>",
  routers: "a router is called a route here: routes",
  middlewares: "what a middleware does is a key of the route: requestHeaders, rewrite, ...",
  backup: "a backup is an endpoint of a later tier: tier: 1",
  max_fails: "how many failed checks take an endpoint out is health.unhealthyAfter",
  fail_timeout: "what fails requests is left alone for a while with outlierDetection",
  slow_start: "new endpoints begin slowly with slowStart",
  sticky: "requests of a client stay on one endpoint with sessions",
  cookie: "requests of a client stay on one endpoint with sessions",
  stick: "requests of a client stay on one endpoint with sessions",
  "stick-table": "requests of a client stay on one endpoint with sessions",
  persistence: "requests of a client stay on one endpoint with sessions",
  ssl: "TLS is set with tls",
  ssl_certificate: "certificates are listed under tls.certificates",
  retries: "how often it is tried again is retry.attempts",
  proxy_next_upstream: "what is tried again is retry.on",
  redispatch: "retries always go to another endpoint: see retry",
  mode: "tcp, udp or http is the protocol of a listener",
  fall: "how many failed checks take an endpoint out is health.unhealthyAfter",
  rise: "how many passed checks bring it back is health.healthyAfter",
  maxconn: "the limit of an endpoint is maxConnections",
  max_conns: "the limit of an endpoint is maxConnections",
  lb_policy: "the algorithm is set with balance",
  strategy: "the algorithm is set with balance",
  method: "the algorithm is set with balance",
  loadbalancer: "the algorithm is set with balance",
  health_check: "checks are set with health",
  healthcheck: "checks are set with health",
  bind: "where a listener listens is its address",
  listen: "where a listener listens is its address",
  port: 'the port is part of the address: address: ":8080"',
  location: "a path is matched with match.path, match.pathPrefix or match.pathRegex",
  prefix: "a path is matched with match.path, match.pathPrefix or match.pathRegex",
  proxy_pass: "where a route sends its requests is its pool",
  target: "where a route sends its requests is its pool",
  url: "an endpoint has an address: address: 10.0.0.1:80",
  host: "an endpoint has an address: address: 10.0.0.1:80",
};

const ALGORITHMS: Readonly<Record<string, string>> = {
  leastconn: "least-connections",
  least_conn: "least-connections",
  least_request: "least-connections",
  roundrobin: "round-robin",
  rr: "round-robin",
  wrr: "weighted-round-robin",
  swrr: "weighted-round-robin",
  source: "ip-hash",
  ip_hash: "ip-hash",
  consistent: "ring-hash",
  hash: "ring-hash",
  uri: "ring-hash",
  ketama: "ring-hash",
  p2c: "power-of-two-choices",
  ewma: "peak-ewma",
  least_time: "least-response-time",
  hrw: "rendezvous",
};

/** The name that an algorithm of another load balancer has here. */
export function foreignAlgorithm(word: string): string | undefined {
  return entry(ALGORITHMS, word);
}

export function foreignWordHint(word: string): string | undefined {
  return entry(WORDS, word);
}

/** Only what is written above: `constructor` is a word that users may write, too. */
function entry(table: Readonly<Record<string, string>>, word: string): string | undefined {
  const key = word.toLowerCase();
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
