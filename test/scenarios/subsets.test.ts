/** Workers with subsets keep fewer connections, and together still use every endpoint; over real processes. */
import { afterEach, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { startEvenkeel } from "../support/evenkeel.ts";
import { endAll, freePort } from "../support/process.ts";

const TIMEOUT_MS = 60_000;
const COUNT = 40;
const WORKERS = 4;
const REQUESTS = 1_200;
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const servers: { stop(force: boolean): unknown }[] = [];

afterEach(async () => {
  await endAll();
  for (const server of servers.splice(0)) server.stop(true);
});

function startApps(): { endpoints: string[]; opened: number[] } {
  const opened = new Array<number>(COUNT).fill(0);
  const endpoints = opened.map((_, index) => {
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open() {
          opened[index] = (opened[index] as number) + 1;
        },
        data: (socket) => void socket.write(ANSWER),
      },
    });
    servers.push(server);
    return `127.0.0.1:${server.port}`;
  });
  return { endpoints, opened };
}

function configOf(port: number, endpoints: string[], subset?: { size: number }): ConfigInput {
  const pool = { balance: "round-robin", health: false, endpoints, ...(subset && { subset }) } as const;
  return { workers: WORKERS, listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } }, pools: { app: pool } };
}

/** One after another, each on a connection of its own, so that all workers get some. */
async function ask(port: number): Promise<void> {
  for (let request = 0; request < REQUESTS; request++) {
    const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close" } });
    expect(await response.text()).toBe("ok");
  }
}

test(
  "four workers keep one connection to each endpoint with subsets, and four without",
  async () => {
    const { endpoints, opened } = startApps();
    const port = await freePort();
    const evenkeel = await startEvenkeel(configOf(port, endpoints, { size: COUNT / WORKERS }));
    await ask(port);
    expect(opened).toEqual(new Array<number>(COUNT).fill(1));
    expect(await evenkeel.reload(configOf(port, endpoints))).toBeTrue();
    await ask(port);
    // Those that there were are kept.
    expect(opened).toEqual(new Array<number>(COUNT).fill(WORKERS));
  },
  TIMEOUT_MS,
);
