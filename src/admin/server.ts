/** Metrics and health of evenkeel itself, for Prometheus and for whoever decides where traffic goes. */
import type { HostPort } from "../base/address.ts";

export interface AdminState {
  metrics(): string;
  /** "" when traffic may be sent here, otherwise why not. */
  notReady(): string;
  /** Names of pools that have no endpoint to send a request to. They do not make evenkeel unready. */
  poolsWithoutEndpoint(): readonly string[];
}

export interface AdminServer {
  readonly port: number;
  stop(): void;
}

const INDEX =
  "evenkeel\n\n/metrics   metrics for Prometheus\n/healthz   200 while this process is alive\n/readyz    200 when traffic may be sent here\n";
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/** Listens on `address`. Throws when it cannot. */
export function startAdmin(address: HostPort, state: AdminState): AdminServer {
  const isLocal = ["127.0.0.1", "::1", "localhost"].includes(address.host);
  const server = Bun.serve({
    hostname: address.host,
    port: address.port,
    // Another evenkeel may take over while this one is still there. That nobody else listens is seen to before.
    reusePort: true,
    idleTimeout: 30,
    maxRequestBodySize: 1_024,
    fetch(request) {
      // A page in the operator's browser must not reach this through a name of its own (DNS rebinding).
      if (isLocal && !LOOPBACK.test(request.headers.get("host") ?? ""))
        return text(403, "expected the Host localhost\n");
      if (request.method !== "GET" && request.method !== "HEAD")
        return text(405, "expected GET\n", { Allow: "GET, HEAD" });
      return answer(new URL(request.url).pathname, state);
    },
  });
  return { port: server.port ?? address.port, stop: () => void server.stop(true) };
}

function answer(path: string, state: AdminState): Response {
  switch (path) {
    case "/metrics":
      return text(200, state.metrics(), { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" });
    case "/healthz":
      return text(200, "ok\n");
    case "/readyz": {
      const reason = state.notReady();
      return reason === "" ? text(200, readyText(state)) : text(503, `not ready: ${reason}\n`);
    }
    case "/":
      return text(200, INDEX);
    default:
      return text(404, "not found\n");
  }
}

/** At most this many names: a probe's answer is read in one line of a log. */
const MAX_SHOWN_POOLS = 8;

function readyText(state: AdminState): string {
  const pools = state.poolsWithoutEndpoint();
  if (pools.length === 0) return "ready\n";
  const more = pools.length > MAX_SHOWN_POOLS ? " ..." : "";
  const shown = pools.slice(0, MAX_SHOWN_POOLS).join(" ");
  return `ready\npools without a usable endpoint: ${pools.length} (${shown}${more})\n`;
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, {
    status,
    headers: { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", ...headers },
  });
}
