/** Metrics and health of evenkeel itself, for Prometheus and for whoever decides where traffic goes. */
import type { HostPort } from "../base/address.ts";

export interface AdminState {
  metrics(): string;
  /** "" when traffic may be sent here, otherwise why not. */
  notReady(): string;
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
    // Another evenkeel may take over while this one is still draining.
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
      return reason === "" ? text(200, "ready\n") : text(503, `not ready: ${reason}\n`);
    }
    case "/":
      return text(200, INDEX);
    default:
      return text(404, "not found\n");
  }
}

function text(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, {
    status,
    headers: { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", ...headers },
  });
}
