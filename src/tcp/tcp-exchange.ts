/** What is known of a TCP connection on its way, as the functions that lead it through its life see it. */
import type { ErrorCode } from "../base/errors.ts";
import type { AccessRecord } from "../observability/access-format.ts";
import type { Pool } from "../pools/pool.ts";
import type { RequestView } from "../routing/request-view.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { TcpContext } from "./context.ts";
import type { TcpRoute, TcpSnapshot } from "./snapshot.ts";
import type { TcpUpstream, UpstreamOwner } from "./upstream.ts";

export interface TcpExchange extends UpstreamOwner, AccessRecord {
  readonly context: TcpContext;
  readonly settings: TcpSnapshot;
  readonly startedMs: number;
  readonly view: RequestView;
  matched: TcpRoute | undefined;
  poolInUse: Pool | undefined;
  /** What the pool's algorithm hashes. */
  key: number;
  tried: readonly Endpoint[] | undefined;
  upstream: TcpUpstream | undefined;
  /** Set while it waits for an endpoint. */
  stopWaiting: (() => void) | undefined;
  failure: ErrorCode | undefined;
  finished: boolean;
  attempts: number;
  endpoint: string;
  connectStartedMs: number;
  connectMs: number;
  totalMs: number;
  /** Closes the client's side with a reset. */
  abort(): void;
}
