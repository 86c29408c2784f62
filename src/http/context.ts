/** What every exchange of a worker may use. */
import type { Clock, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { AccessLog } from "../observability/access-log.ts";
import type { Log } from "../observability/log.ts";
import type { MetricsWriter } from "../observability/metrics-table.ts";
import type { ChallengeTable } from "../tls/acme/challenges.ts";
import type { ByteWriter } from "../transport/byte-writer.ts";
import type { DeadlineSweep } from "../transport/deadlines.ts";
import type { HttpDate } from "./http-date.ts";
import type { RequestIds } from "./request-id.ts";

export interface HttpContext {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly metrics: MetricsWriter;
  readonly sweep: DeadlineSweep;
  readonly log: Log;
  /** What an authority may ask for, to see that a name is ours. */
  readonly challenges: ChallengeTable;
  readonly requestIds: RequestIds;
  readonly date: HttpDate;
  /** Undefined when the access log is off. Replaced by a reload. */
  accessLog: AccessLog | undefined;
  /** The one buffer in which heads are put together; nothing may be kept in it over a call. */
  readonly writer: ByteWriter;
  /** Told to stop: clients are asked to close after their answer. */
  draining: boolean;
}
