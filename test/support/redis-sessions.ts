/** Balancers whose sessions are in Redis, and their users. */
import type { ConfigInput } from "../../src/config/schema.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "./balancer.ts";
import { use } from "./exchange-fixture.ts";
import { eventually } from "./process.ts";

export const APPS = 4;

export function startApps(): string[] {
  return Array.from({ length: APPS }, (_, index) => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(`app-${index}`) });
    use({ stop: () => server.stop(true) });
    return `127.0.0.1:${server.port}`;
  });
}

export interface Told {
  readonly balancer: Balancer;
  readonly lines: string[];
}

export function serve(endpoints: string[], url: string | string[], timeout = "1s"): Told {
  const lines: string[] = [];
  const config: ConfigInput = {
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    pools: {
      app: {
        balance: "round-robin",
        endpoints,
        sessions: {
          type: "header",
          name: "X-User",
          redis: { url, timeout, failures: 2, wait: "100ms" },
        },
      },
    },
  };
  const say = (message: string) => void lines.push(message);
  const log = { debug: say, info: say, warn: say, error: say };
  return { balancer: use(startBalancer(config, { log })), lines };
}

export async function ask({ balancer }: Told, user: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${balancer.port}/`, {
    headers: { "X-User": user, Connection: "close" },
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status}: ${text}`);
  return text;
}

export const users = Array.from({ length: 40 }, (_, index) => `user-${index}`);
export const homesAt = async (told: Told): Promise<string[]> => {
  const homes: string[] = [];
  for (const user of users) homes.push(await ask(told, user));
  return homes;
};
export const fallbacks = ({ balancer }: Told): number => balancer.tables.metrics.read("pool", 0, POOL.sessionFallbacks);

/** Asks until Redis answers again, as its users would. */
export async function untilShared(told: Told): Promise<void> {
  await eventually(async () => {
    const before = fallbacks(told);
    await ask(told, "somebody");
    return fallbacks(told) === before;
  }, "sessions that are shared again");
}

/** As many users as can all the time, at any of the balancers, while `during` runs. Tells how many requests there were. */
export async function underLoad(
  balancers: readonly Told[],
  homes: readonly string[],
  during: () => Promise<void>,
): Promise<number> {
  let requests = 0;
  let over = false;
  const visitor = async (first: number): Promise<void> => {
    for (let turn = first; !over; turn++) {
      const user = turn % users.length;
      const home = await ask(balancers[turn % balancers.length] as Told, users[user] as string);
      if (home !== homes[user]) throw new Error(`${users[user]} was at ${homes[user]} and is at ${home}`);
      requests++;
    }
  };
  const visitors = Array.from({ length: 8 }, (_, index) => visitor(index * 7));
  try {
    await Promise.race([during(), ...visitors]);
  } finally {
    over = true;
    await Promise.allSettled(visitors);
  }
  await Promise.all(visitors);
  return requests;
}
