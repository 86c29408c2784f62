/** From configuration to what UDP listeners serve. */
import { at } from "../base/place.ts";
import type { Random } from "../base/random.ts";
import { MetricsWriter } from "../observability/metrics-table.ts";
import type { Pool } from "../pools/pool.ts";
import { compileRoutes } from "../routing/router.ts";
import type { UdpSnapshot } from "../udp/snapshot.ts";
import { buildPoolRoutes } from "./build-tcp.ts";
import type { WorkerUpdate } from "./data-path.ts";

/** The snapshot of every UDP listener, by name. Throws an EvenkeelError that names the place. */
export function buildUdpSnapshots(
  update: WorkerUpdate,
  pools: ReadonlyMap<string, Pool>,
  random: Random,
): Map<string, UdpSnapshot> {
  const snapshots = new Map<string, UdpSnapshot>();
  for (const [name, listener] of Object.entries(update.config.listeners)) {
    if (listener.protocol !== "udp") continue;
    const entries = buildPoolRoutes(name, listener.pool, update, pools, random);
    snapshots.set(name, {
      name,
      router: at(["listeners", name], () => compileRoutes(entries)),
      perPacket: listener.perPacket,
      responses: listener.responses ?? 0,
      maxFlows: listener.maxFlows,
      maxFlowsPerClient: listener.maxFlowsPerClient,
      maxDatagramBytes: listener.maxDatagramBytes,
      idleMs: listener.timeouts.idle,
      cells: MetricsWriter.rowStart("listener", update.rows.listeners[name] ?? 0),
    });
  }
  return snapshots;
}
