/** What a worker serves on TCP listeners: built when a configuration is loaded, replaced as a whole. */
import type { NetworkSet } from "../base/ip.ts";
import type { Pool } from "../pools/pool.ts";
import type { RequestView } from "../routing/request-view.ts";
import type { Router } from "../routing/router.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";

export interface TcpRoute {
  readonly name: string;
  choose(view: RequestView): Pool;
  /** First cell of the route's row in the metrics. */
  readonly cells: number;
}

/** One listener's settings and routes. Every connection keeps the one it started with. */
export interface TcpSnapshot {
  readonly name: string;
  readonly tls: ListenerTls | undefined;
  readonly proxyProtocol: { readonly from: NetworkSet; readonly timeoutMs: number } | undefined;
  readonly router: Router<TcpRoute>;
  /** Some route asks for what only a TLS ClientHello tells: wait for it before anything else. */
  readonly readsHello: boolean;
  /** Milliseconds. */
  readonly timeouts: { readonly hello: number; readonly idle: number };
  /** First cell of the listener's row in the metrics. */
  readonly cells: number;
}
