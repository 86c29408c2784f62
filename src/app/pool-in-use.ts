/** A pool as the data path keeps it: what lives on over reloads, and what each of them replaces. */
import type { Pool, PoolView, SorryAnswer } from "../pools/pool.ts";
import type { PoolGate } from "../pools/pool-gate.ts";
import type { PoolHedging } from "../pools/pool-hedging.ts";
import type { PoolRetry } from "../pools/pool-retry.ts";
import type { PoolConfig } from "../pools/schema.ts";
import type { WaitQueueOptions } from "../pools/wait-queue.ts";
import { codelOptions } from "../resilience/options.ts";
import type { PoolSessions } from "../sessions/pool-sessions.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { EndpointTls } from "../upstreams/endpoint-tls.ts";

export interface PoolInUse extends Pool {
  /** In the metrics and the shared counts. */
  readonly row: number;
  priorityHeader: string | undefined;
  retry: PoolRetry;
  gate: PoolGate | undefined;
  hedging: PoolHedging | undefined;
  fallback: Pool | undefined;
  sorry: SorryAnswer | undefined;
  key: Pool["key"];
  sessions: PoolSessions<Endpoint> | undefined;
  config: PoolConfig;
  tls: EndpointTls | undefined;
  /** What connections to its endpoints are made with: when it changes, they are all made anew. */
  wire: string;
}

export function queueOptions({ queue }: PoolConfig): WaitQueueOptions {
  const { size, timeout, codel } = queue;
  return { size, timeoutMs: timeout, codel: codel === false ? undefined : codelOptions(codel) };
}

/** What is under way goes on; nothing new begins. */
export function endPool({ view, hedging }: PoolInUse): void {
  hedging?.close();
  retire(view);
}

export function retire(view: PoolView): void {
  for (const endpoint of view.endpoints) endpoint.connections.retire();
}
