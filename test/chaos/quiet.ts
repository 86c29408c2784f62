/** Waits until nothing is under way any more: no request, no connection, nobody in a queue. */
import { acceptedConnections, eventually } from "../support/process.ts";
import type { Scene } from "./scene.ts";

const QUIET_MS = 20_000;
const HELD = [
  "evenkeel_endpoint_in_flight",
  "evenkeel_listener_connections_open",
  "evenkeel_endpoint_connections_open",
  "evenkeel_pool_waiting",
];

/** Throws when it takes too long, with what is left. */
export async function untilQuiet(scene: Scene): Promise<void> {
  let last = "";
  await eventually(
    async () => {
      const metrics = await scene.evenkeel.metrics();
      last = HELD.map((name) => `${name} ${metrics.sum(name)}`).join(", ");
      return HELD.every((name) => metrics.sum(name) === 0);
    },
    () => `nothing to be under way: ${last}; the system knows of ${knownConnections(scene)}`,
    QUIET_MS,
  );
}

/** Who is right when a connection seems to be left over. */
function knownConnections({ evenkeel, ports }: Scene): string {
  const workers = evenkeel.workers();
  const known = Object.entries(ports).map(([name, port]) => {
    const counts = workers.map((pid) => acceptedConnections(pid, port));
    return `${counts.join(" and ")} of ${name}`;
  });
  return known.join(", ");
}
