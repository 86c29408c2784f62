/** What a worker serves on UDP listeners: built when a configuration is loaded, replaced as a whole. */
import type { Pool } from "../pools/pool.ts";
import type { RequestView } from "../routing/request-view.ts";
import type { Router } from "../routing/router.ts";

export interface UdpRoute {
  readonly name: string;
  choose(view: RequestView): Pool;
  /** First cell of the route's row in the metrics. */
  readonly cells: number;
}

/** One listener's settings and routes. Every flow keeps the one it started with. */
export interface UdpSnapshot {
  readonly name: string;
  readonly router: Router<UdpRoute>;
  /** Every datagram is balanced on its own. */
  readonly perPacket: boolean;
  /** Answers that each datagram gets; a flow ends when it has them all. 0: not known. */
  readonly responses: number;
  /** In this worker; likewise the next. */
  readonly maxFlows: number;
  readonly maxFlowsPerClient: number;
  readonly maxDatagramBytes: number;
  readonly idleMs: number;
  /** First cell of the listener's row in the metrics. */
  readonly cells: number;
}
