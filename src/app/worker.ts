/** A worker process: serves what the supervisor tells it to, and ends in good order when the supervisor is gone. */
import { sharedClockOffsetMs, systemClock, systemTimers } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import { systemRandom } from "../base/random.ts";
import { createLog } from "../observability/log.ts";
import type { LogConfig } from "../observability/schema.ts";
import { writeToStandardError } from "../observability/standard-error.ts";
import { reportFaults } from "../transport/faults.ts";
import { receiveNamed } from "../transport/named-descriptors.ts";
import { createDataPath } from "./create-data-path.ts";
import type { DataPath } from "./data-path.ts";
import { FaultGuard } from "./fault-guard.ts";
import { mapSharedMemory } from "./memory.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { CHANNEL_DESCRIPTOR, INHERITED_FILES } from "./worker-link.ts";

/** Without a supervisor: how long exchanges may take to end. */
const ORPHAN_DRAIN_MS = 30_000;
const ORPHAN_LOOK_MS = 200;

export function runWorker(worker: number, workers: number): void {
  const tables = mapSharedMemory(INHERITED_FILES, workers);
  const log = createLog({ level: "info", format: "text" }, systemClock, writeToStandardError);
  const guard = new FaultGuard({ clock: systemClock, log, exit: (code) => process.exit(code) });
  reportFaults((error) => guard.ofConnection(error));
  const dataPath = createDataPath({
    worker,
    endpointTable: tables.endpoints,
    metrics: tables.metrics,
    resilience: tables.resilience,
    counters: tables.counters(worker),
    sessions: tables.sessions,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log,
    report: (event) => tell({ type: "event", event }),
    onSuspect: (pool, row) => tell({ type: "suspect", pool, row }),
    sharedOffsetMs: sharedClockOffsetMs(systemClock),
  });
  // The terminal sends these to the whole group; what they mean is for the supervisor to decide.
  for (const signal of ["SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGQUIT"] as const)
    process.on(signal, () => {});
  let prepared: LogConfig | undefined;
  process.on("message", (message: ToWorker) => {
    if (message.type === "prepare") prepared = message.update.config.log;
    else if (message.type === "commit" && prepared !== undefined) log.configure(prepared);
    handle(dataPath, message);
  });
  process.on("disconnect", () => endOrphan(dataPath));
  tell({ type: "ready" });
  // Not before: a worker that cannot even start is to end.
  guard.install();
}

function handle(dataPath: DataPath, message: ToWorker): void {
  switch (message.type) {
    case "prepare":
      return prepare(dataPath, message);
    case "commit":
      return dataPath.commit();
    case "abort":
      return dataPath.abort();
    case "endpoints":
      return dataPath.replaceEndpoints(message.pool, message.endpoints);
    case "challenges":
      dataPath.setChallenges(message.challenges);
      return tell({ type: "challenges", sequence: message.sequence });
    case "weights":
      return dataPath.weightsChanged(message.pool);
    case "leaving":
      return dataPath.closeConnections(message.pool, message.endpoint, message.which);
    case "drain":
      dataPath.drain(message.handedOver);
      return tell({ type: "draining" });
    case "reopenLogs":
      return dataPath.reopenLogs();
    case "ping":
      return tell({ type: "pong", memoryBytes: process.memoryUsage.rss() });
    case "close":
      void dataPath.close().finally(() => process.exit(0));
  }
}

function prepare(dataPath: DataPath, { update, withDescriptors }: Extract<ToWorker, { type: "prepare" }>): void {
  const { generation } = update;
  const named = withDescriptors ? Object.entries(receiveNamed(CHANNEL_DESCRIPTOR)) : [];
  try {
    dataPath.prepare(update, Object.fromEntries(named.map(([name, [descriptor]]) => [name, descriptor as number])));
    tell({ type: "prepared", generation, problem: "" });
  } catch (error) {
    const problem = error instanceof EvenkeelError ? error.message : String((error as Error).stack);
    tell({ type: "prepared", generation, problem });
  }
}

function endOrphan(dataPath: DataPath): void {
  // Whoever comes now is for the evenkeel that is started in its place.
  dataPath.drain(true);
  const deadline = systemClock.now() + ORPHAN_DRAIN_MS;
  systemTimers.every(ORPHAN_LOOK_MS, () => {
    if (dataPath.openConnections() === 0 || systemClock.now() > deadline)
      void dataPath.close().finally(() => process.exit(0));
  });
}

function tell(message: FromWorker): void {
  try {
    process.send?.(message);
  } catch {
    // The supervisor is gone; `disconnect` sees to the rest.
  }
}
