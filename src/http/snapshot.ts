/** What a worker serves: built when a configuration is loaded, never changed, replaced as a whole. */

import type { NetworkSet } from "../base/ip.ts";
import type { Filter } from "../filters/definition.ts";
import type { Pool } from "../pools/pool.ts";
import type { Priority } from "../resilience/load-shedding.ts";
import type { RequestView } from "../routing/request-view.ts";
import type { Router } from "../routing/router.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";
import type { TimeoutsConfig } from "./schema.ts";
import type { Shedding } from "./shedding.ts";

/** What a route does with a request that it matched. */
export type Action =
  | { readonly kind: "pool"; readonly pool: Pool }
  | { readonly kind: "split"; choose(request: RequestView): Pool }
  | { readonly kind: "redirect"; readonly status: number; location(request: RequestView): string }
  | { readonly kind: "respond"; readonly status: number; readonly headers: string; readonly body: string };

export interface Route {
  readonly name: string;
  readonly action: Action;
  /** Null when there are none: the common case costs one comparison. */
  readonly requestFilters: readonly Filter[] | null;
  readonly responseFilters: readonly Filter[] | null;
  readonly timeouts: TimeoutsConfig;
  /** Bytes; 0 for no limit. */
  readonly maxBodySize: number;
  readonly upgrade: boolean;
  /** Of its requests; undefined where each says so itself, or nobody does. */
  readonly importance: Priority | undefined;
  /** First cell of the route's row in the metrics. */
  readonly cells: number;
}

/** One listener's settings and routes. Every exchange keeps the one it started with. */
export interface ListenerSnapshot {
  readonly name: string;
  readonly port: number;
  /** Whether clients may speak HTTP/2. */
  readonly http2: boolean;
  readonly scheme: "http" | "https";
  /** A header line for every answer, with its line break; "" for none. */
  readonly hstsLine: string;
  /** Ready-made lines that tell endpoints the scheme and port, from behind the client's address on. */
  readonly forwardedLines: string;
  readonly tls: ListenerTls | undefined;
  readonly proxyProtocol: { readonly from: NetworkSet; readonly timeoutMs: number } | undefined;
  readonly router: Router<Route>;
  readonly trustedProxies: NetworkSet | undefined;
  /** Undefined where everything is let in. */
  readonly shedding: Shedding | undefined;
  readonly maxRequestsPerConnection: number;
  readonly limits: { readonly bytes: number; readonly fields: number; readonly bodyRate: number };
  readonly timeouts: { readonly header: number; readonly idle: number; readonly body: number; readonly write: number };
  readonly forwarding: {
    readonly xForwarded: boolean;
    readonly forwarded: boolean;
    readonly via: boolean;
    readonly requestId: boolean;
  };
  /** First cell of the listener's row in the metrics. */
  readonly cells: number;
}
