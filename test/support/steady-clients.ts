/** Clients that ask one request after another for as long as something lasts, and what they have seen. */
import { expect } from "bun:test";

const CLIENT_TIMEOUT_MS = 20_000;
const PAUSE_MS = 5;

export interface Seen {
  /** By status; 0 for connections that broke. */
  readonly statuses: Map<number, number>;
  longestMs: number;
}

/** `clients` ask `url` until `during` is over. */
export async function load(url: string, clients: number, during: () => Promise<unknown>): Promise<Seen> {
  const seen: Seen = { statuses: new Map(), longestMs: 0 };
  let isOver = false;
  const asking = Array.from({ length: clients }, async () => {
    while (!isOver) {
      const begun = performance.now();
      const status = await ask(url);
      seen.longestMs = Math.max(seen.longestMs, performance.now() - begun);
      seen.statuses.set(status, (seen.statuses.get(status) ?? 0) + 1);
      await Bun.sleep(PAUSE_MS);
    }
  });
  await during().finally(() => {
    isOver = true;
  });
  await Promise.all(asking);
  return seen;
}

async function ask(url: string): Promise<number> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(CLIENT_TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return 0;
  }
}

export function failed({ statuses }: Seen): number {
  return [...statuses].reduce((sum, [status, count]) => sum + (status === 200 ? 0 : count), 0);
}

export function expectNoneFailed(seen: Seen): void {
  expect(Object.fromEntries(seen.statuses)).toEqual({ 200: seen.statuses.get(200) ?? 0 });
  expect(seen.statuses.get(200)).toBeGreaterThan(50);
}
