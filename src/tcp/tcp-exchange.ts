/** What is known of a TCP connection on its way, as the functions that lead it through its life see it. */
import type { ErrorCode } from "../base/errors.ts";
import type { AccessRecord } from "../observability/access-format.ts";
import type { Picking } from "../pools/pick.ts";
import type { Pool } from "../pools/pool.ts";
import type { GateTicket } from "../pools/pool-gate.ts";
import type { PoolSession } from "../pools/pool-session.ts";
import type { RetryHolder } from "../pools/retry-hold.ts";
import type { RequestView } from "../routing/request-view.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { TcpContext } from "./context.ts";
import type { TcpRoute, TcpSnapshot } from "./snapshot.ts";
import type { TcpUpstream, UpstreamOwner } from "./upstream.ts";

export interface TcpExchange extends UpstreamOwner, AccessRecord, RetryHolder, Picking {
  readonly context: TcpContext;
  readonly settings: TcpSnapshot;
  readonly startedMs: number;
  readonly view: RequestView;
  matched: TcpRoute | undefined;
  poolInUse: Pool | undefined;
  /** What it holds of its pool. */
  ticket: GateTicket | undefined;
  /** What the pool's algorithm hashes. */
  key: number;
  /** Set when the pool has sessions. */
  sessionInUse: PoolSession | undefined;
  tried: readonly Endpoint[] | undefined;
  upstream: TcpUpstream | undefined;
  /** Set while it waits for an endpoint. */
  stopWaiting: (() => void) | undefined;
  failure: ErrorCode | undefined;
  finished: boolean;
  attempts: number;
  /** Of these, the ones in pools that it has been in before. */
  attemptsElsewhere: number;
  endpoint: string;
  connectStartedMs: number;
  connectMs: number;
  totalMs: number;
  /** Closes the client's side with a reset. */
  abort(): void;
}
