/** What a new process takes over with the sockets: what operators have decided while running, and the sessions of clients. */
import { afterEach, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, runCommand, startEvenkeel } from "../support/evenkeel.ts";
import { endAll, eventually, freePort, openDescriptors } from "../support/process.ts";
import { tcpEndpoint } from "../support/tcp.ts";

const TIMEOUT_MS = 60_000;
const WORKERS = 2;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await endAll();
});

function startApp(name: string): string {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(name) });
  cleanups.push(() => server.stop(true));
  return `127.0.0.1:${server.port}`;
}

async function command(evenkeel: Evenkeel, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(...args, "--admin", `127.0.0.1:${evenkeel.adminPort}`);
  return code === 0 ? stdout : stderr;
}

interface Shown {
  readonly endpoint: string;
  readonly state: string;
  readonly weight: number;
}

async function shown(evenkeel: Evenkeel): Promise<string[]> {
  const [pool] = JSON.parse(await command(evenkeel, "status", "app", "--json")) as { endpoints: Shown[] }[];
  return (pool?.endpoints ?? []).map(({ endpoint, state, weight }) => `${endpoint} ${state} ${weight}`).sort();
}

async function api(evenkeel: Evenkeel, method: string, path: string, body?: object): Promise<Response> {
  return fetch(`http://127.0.0.1:${evenkeel.adminPort}/api/pools/app/endpoints${path}`, {
    method,
    headers: { "Content-Type": "application/json", Connection: "close" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

test(
  "what operators have changed holds over upgrades, one after the other, until the file says something else",
  async () => {
    const [a, b, c, added] = ["a", "b", "c", "added"].map(startApp) as [string, string, string, string];
    const config = (weight: number): ConfigInput => ({
      workers: WORKERS,
      listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
      pools: { app: { endpoints: [a, { address: b, weight }, c], health: false } },
      shutdown: { drainTimeout: "5s" },
    });
    const evenkeel = await startEvenkeel(config(1));
    await command(evenkeel, "drain", "app", a);
    await command(evenkeel, "weight", "app", b, "7");
    expect(await command(evenkeel, "remove", "app", c)).toBe(`${c} is removed: 0 in flight\n`);
    expect(await command(evenkeel, "add", "app", added, "--weight", "3")).toBe(`${added} is added\n`);
    const changed = [`${a} drain 1`, `${b} ready 7`, `${added} ready 3`].sort();
    expect(await shown(evenkeel)).toEqual(changed);
    for (let round = 0; round < 2; round++) {
      expect(await evenkeel.upgrade()).toBe(true);
      expect(await shown(evenkeel)).toEqual(changed);
    }
    evenkeel.write(config(2));
    expect(await evenkeel.upgrade()).toBe(true);
    expect(await shown(evenkeel)).toEqual([`${a} drain 1`, `${b} ready 2`, `${added} ready 3`].sort());
  },
  TIMEOUT_MS,
);

test(
  "while the new process starts nothing can be changed: it would not know",
  async () => {
    const silent = await tcpEndpoint(() => {});
    cleanups.push(() => silent.stop());
    const a = startApp("a");
    const evenkeel = await startEvenkeel({
      workers: WORKERS,
      listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
      pools: {
        app: { endpoints: [a], health: false },
        // A start waits for first checks, for a second at most.
        silent: { endpoints: [silent.address], health: { type: "http", interval: "1h", timeout: "10s" } },
      },
    });
    const before = silent.sockets.length;
    const upgraded = await evenkeel.upgrade(async () => {
      await eventually(() => silent.sockets.length > before, "the first check of the new process");
      expect(await command(evenkeel, "drain", "app", a)).toBe(
        "evenkeel: a new process takes over: ask again in a moment\n",
      );
      const answers = [
        await api(evenkeel, "POST", "", { address: "127.0.0.1:9" }),
        await api(evenkeel, "DELETE", `/${a}`),
      ];
      expect(answers.map(({ status }) => status)).toEqual([409, 409]);
    });
    expect(upgraded).toBe(true);
    expect(await command(evenkeel, "drain", "app", a)).toContain(`${a} drains`);
  },
  TIMEOUT_MS,
);

test(
  "sessions in memory, and cookies that are signed with what is in memory, hold over upgrades",
  async () => {
    const apps = ["a", "b", "c", "d", "e"].map(startApp);
    const [byHeader, byCookie] = [await freePort(), await freePort()];
    const pool = { balance: "round-robin", endpoints: apps } as const;
    const evenkeel = await startEvenkeel({
      workers: WORKERS,
      listeners: {
        header: { address: `127.0.0.1:${byHeader}`, pool: "header" },
        cookie: { address: `127.0.0.1:${byCookie}`, pool: "cookie" },
      },
      pools: {
        header: { ...pool, sessions: { type: "header", name: "X-User" } },
        cookie: { ...pool, sessions: { type: "cookie" } },
      },
      shutdown: { drainTimeout: "5s" },
    });
    const visit = async (port: number, headers: Record<string, string>) => {
      const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close", ...headers } });
      const [cookie = ""] = (response.headers.get("set-cookie") ?? "").split(";");
      return { app: await response.text(), cookie };
    };
    const users = Array.from({ length: 20 }, (_, index) => ({ "X-User": `user-${index}` }));
    const homes = async () => {
      const all: string[] = [];
      for (const user of users) all.push((await visit(byHeader, user)).app);
      return all;
    };
    const first = await homes();
    const guests: { app: string; cookie: string }[] = [];
    for (let guest = 0; guest < 5; guest++) guests.push(await visit(byCookie, {}));
    expect(new Set(guests.map(({ app }) => app)).size).toBeGreaterThan(1);
    for (let round = 0; round < 2; round++) {
      expect(await evenkeel.upgrade()).toBe(true);
      expect(await homes()).toEqual(first);
      for (const { app, cookie } of guests)
        expect(await visit(byCookie, { Cookie: cookie })).toEqual({ app, cookie: "" });
    }
  },
  TIMEOUT_MS,
);

test(
  "more listeners than fit into one message: workers serve them all, and so does the process that takes over",
  async () => {
    const ports: number[] = [];
    while (ports.length < 252) {
      const port = await freePort();
      if (!ports.includes(port)) ports.push(port);
    }
    const listeners = Object.fromEntries(ports.map((port) => [`on-${port}`, { address: `127.0.0.1:${port}` }]));
    const evenkeel = await startEvenkeel({
      workers: WORKERS,
      listeners,
      routes: [{ respond: { body: "here" } }],
      shutdown: { drainTimeout: "5s" },
    });
    const before = openDescriptors(evenkeel.supervisor);
    for (let round = 0; round < 2; round++) expect(await evenkeel.upgrade()).toBe(true);
    for (const port of ports)
      expect(await (await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close" } })).text()).toBe(
        "here",
      );
    expect(openDescriptors(evenkeel.supervisor)).toBeLessThanOrEqual(before + 2);
  },
  TIMEOUT_MS,
);
