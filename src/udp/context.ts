/** What every flow of a UDP listener may use. */
import type { Clock } from "../base/clock.ts";
import type { AccessLog } from "../observability/access-log.ts";
import type { MetricsWriter } from "../observability/metrics-table.ts";
import type { DeadlineSweep } from "../transport/deadlines.ts";

export interface UdpContext {
  readonly clock: Clock;
  readonly metrics: MetricsWriter;
  readonly sweep: DeadlineSweep;
  /** Undefined when the access log is off. Replaced by a reload. */
  readonly accessLog: AccessLog | undefined;
}
