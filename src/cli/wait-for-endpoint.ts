import { type AdminClient, AdminError } from "./admin-client.ts";

const LOOK_MS = 200;

/** Waits until nothing is in flight on a draining endpoint: true; or until its time is over: false. */
export async function drained(client: AdminClient, pool: string, endpoint: string): Promise<boolean> {
  for (;;) {
    const { state, inFlight, drainLeftMs } = await client.endpoint(pool, endpoint);
    if (state !== "drain") throw new AdminError(`${endpoint} drains no longer: somebody else made it ${state}`);
    if (inFlight === 0) return drainLeftMs !== 0;
    // Its time is over: what is left is being closed, which takes a moment.
    await Bun.sleep(LOOK_MS);
  }
}

/** Waits until an endpoint is well, if only just, or is not checked at all. Throws when that takes longer than `timeoutMs`. */
export async function wellAgain(client: AdminClient, pool: string, endpoint: string, timeoutMs: number): Promise<void> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const { health, reason } = await client.endpoint(pool, endpoint);
    if (health === "healthy" || health === "degraded" || health === "unchecked") return;
    if (performance.now() > until)
      throw new AdminError(`${endpoint} is not well after ${Math.round(timeoutMs / 1_000)} s: ${reason}`);
    await Bun.sleep(LOOK_MS);
  }
}
