/** Metrics and health of evenkeel itself, and the API for those who run it. */
import { chmodSync } from "node:fs";
import type { Server } from "bun";
import type { HostPort } from "../base/address.ts";
import { type ApiBackend, type ApiCaller, answerApi } from "./api.ts";

export interface AdminState {
  metrics(): string;
  /** "" when traffic may be sent here, otherwise why not. */
  notReady(): string;
  /** Names of pools that have no endpoint to send a request to. They do not make evenkeel unready. */
  poolsWithoutEndpoint(): readonly string[];
  readonly api: ApiBackend;
}

export interface AdminServer {
  /** 0 for a socket in the file system. */
  readonly port: number;
  stop(): void;
}

const INDEX = `evenkeel

/metrics       metrics for Prometheus
/healthz       200 while this process is alive
/readyz        200 when traffic may be sent here
/api/pools     pools and their endpoints
/api/events    what changes, as it changes
/api/config    the configuration, without secrets
/api/version   the version
`;
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;
const LOCAL_PEER = /^(::ffff:)?127\.|^::1$/;
const MAX_BODY_BYTES = 16_384;
/** Seconds; events are sent more often than that. */
const IDLE_TIMEOUT = 30;

/** Listens on `address`. Throws when it cannot. */
export function startAdmin(address: HostPort, state: AdminState): AdminServer {
  const isLocal = ["127.0.0.1", "::1", "localhost"].includes(address.host);
  const server = Bun.serve({
    hostname: address.host,
    port: address.port,
    // Another evenkeel may take over while this one is still there. That nobody else listens is seen to before.
    reusePort: true,
    idleTimeout: IDLE_TIMEOUT,
    maxRequestBodySize: MAX_BODY_BYTES,
    fetch(request, self: Server<undefined>) {
      // A page in the operator's browser must not reach this through a name of its own (DNS rebinding).
      const asksLocally = LOOPBACK.test(request.headers.get("host") ?? "");
      if (isLocal && !asksLocally) return text(403, "expected the Host localhost\n");
      const peer = self.requestIP(request)?.address ?? "";
      return answer(request, state, { isLocal: asksLocally && LOCAL_PEER.test(peer), isSocket: false });
    },
  });
  return { port: server.port ?? address.port, stop: () => void server.stop(true) };
}

/** Listens on a socket in the file system that only the same user can open. Throws when it cannot. */
export function startAdminSocket(path: string, state: AdminState): AdminServer {
  const mask = process.umask(0o177);
  try {
    const server = Bun.serve({
      unix: path,
      maxRequestBodySize: MAX_BODY_BYTES,
      fetch: (request) => answer(request, state, { isLocal: true, isSocket: true }),
    });
    chmodSync(path, 0o600);
    return { port: 0, stop: () => void server.stop(true) };
  } finally {
    process.umask(mask);
  }
}

function answer(request: Request, state: AdminState, caller: ApiCaller): Response | Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname.startsWith("/api/")) return answerApi(request, url, state.api, caller);
  if (request.method !== "GET" && request.method !== "HEAD") return text(405, "expected GET\n", { Allow: "GET, HEAD" });
  return answerPage(url.pathname, state);
}

function answerPage(path: string, state: AdminState): Response {
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
