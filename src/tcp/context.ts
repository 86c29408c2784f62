/** What every connection of a TCP listener may use. */
import type { Clock } from "../base/clock.ts";
import type { AccessLog } from "../observability/access-log.ts";
import type { Log } from "../observability/log.ts";
import type { MetricsWriter } from "../observability/metrics-table.ts";
import type { DeadlineSweep } from "../transport/deadlines.ts";

export interface TcpContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: MetricsWriter;
  readonly sweep: DeadlineSweep;
  /** Undefined when the access log is off. Replaced by a reload. */
  readonly accessLog: AccessLog | undefined;
}
