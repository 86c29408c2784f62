/** What the supervisor and its workers tell each other. Descriptors travel beside it (transport/descriptor-passing.ts). */
import type { EventReport } from "../observability/event-log.ts";
import type { Challenge } from "../tls/acme/challenges.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import type { WorkerUpdate } from "./data-path.ts";

export type ToWorker =
  /** `withDescriptors`: listening sockets for it are waiting on the descriptor channel. */
  | { readonly type: "prepare"; readonly update: WorkerUpdate; readonly withDescriptors: boolean }
  | { readonly type: "commit" }
  | { readonly type: "abort" }
  | { readonly type: "endpoints"; readonly pool: string; readonly endpoints: readonly EndpointSpec[] }
  /** All that are open now. Answered with the same `sequence`. */
  | { readonly type: "challenges"; readonly sequence: number; readonly challenges: readonly Challenge[] }
  | { readonly type: "weights"; readonly pool: string }
  | { readonly type: "leaving"; readonly pool: string; readonly endpoint: string; readonly which: "idle" | "all" }
  | { readonly type: "drain"; readonly handedOver: boolean }
  | { readonly type: "close" }
  | { readonly type: "reopenLogs" }
  | { readonly type: "ping" };

export type FromWorker =
  | { readonly type: "ready" }
  | { readonly type: "draining" }
  /** Something has changed that this worker was the first to notice. */
  | { readonly type: "event"; readonly event: EventReport }
  /** The endpoint in this row has failed too often in a row. */
  | { readonly type: "suspect"; readonly pool: string; readonly row: number }
  | { readonly type: "challenges"; readonly sequence: number }
  /** `problem` is "" when it is prepared. */
  | { readonly type: "prepared"; readonly generation: number; readonly problem: string }
  | { readonly type: "pong"; readonly memoryBytes: number };
