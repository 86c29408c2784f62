/** Changing the configuration of a running balancer: under load, with mistakes, and what must not notice. */
import { afterEach, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { KeepAliveClient } from "../support/keep-alive-client.ts";
import { type NginxEndpoint, startNginx, wrk } from "../support/peers.ts";
import { endAll, eventually, freePort, havePrograms } from "../support/process.ts";

const TIMEOUT_MS = 60_000;
const LAST_RELOAD_GOOD = "evenkeel_config_last_reload_success";

afterEach(endAll);

function answering(ports: readonly number[], body: string, more: Partial<ConfigInput> = {}): ConfigInput {
  const listeners = Object.fromEntries(ports.map((port, index) => [`web-${index}-${port}`, listenOn(port)]));
  return { workers: 2, listeners, routes: [{ name: "all", respond: { status: 200, body } }], ...more };
}

function listenOn(port: number): { address: string } {
  return { address: `127.0.0.1:${port}` };
}

if (havePrograms("nginx", "wrk")) {
  test(
    "ten reloads under load: no request fails",
    async () => {
      const endpoints = await startNginx(3);
      const port = await freePort();
      const evenkeel = await startEvenkeel(variant(port, endpoints, 0));
      const load = wrk(`http://127.0.0.1:${port}/`, { connections: 32, seconds: 6 });
      for (let count = 1; count <= 10; count++) {
        expect(await evenkeel.reload(variant(port, endpoints, count))).toBe(true);
        const added = await fetch(`http://127.0.0.1:${port}/added-${count}`, { headers: { Connection: "close" } });
        expect(await added.text()).toBe(`added in ${count}`);
        await Bun.sleep(250);
      }
      const figures = await load;
      expect(figures).toMatchObject({ badAnswers: 0, socketErrors: 0 });
      expect(figures.requests).toBeGreaterThan(100);
      const metrics = await evenkeel.metrics();
      expect(metrics.sum("evenkeel_worker_restarts_total")).toBe(0);
      expect(metrics.sum("evenkeel_refusals_total", 'reason="E_CLIENT_CLOSED"')).toBe(
        metrics.sum("evenkeel_refusals_total"),
      );
    },
    TIMEOUT_MS,
  );
}

/** Weights and routes differ from one number to the next; every third time an endpoint is missing. */
function variant(port: number, endpoints: readonly NginxEndpoint[], number: number): ConfigInput {
  const used = number % 3 === 2 ? endpoints.slice(1) : endpoints;
  const weighted = used.map(({ address }, index) => ({ address, weight: 1 + ((index + number) % 3) }));
  const body = `added in ${number}`;
  const route = { name: "added", match: { path: `/added-${number}` }, respond: { status: 200, body } };
  return {
    workers: 2,
    listeners: { web: { ...listenOn(port), pool: "app" } },
    routes: number === 0 ? [] : [route],
    pools: { app: { endpoints: weighted, balance: number % 2 === 0 ? "weighted-round-robin" : "least-connections" } },
  };
}

test(
  "a wrong file changes nothing, and both log and metric say so",
  async () => {
    const port = await freePort();
    const evenkeel = await startEvenkeel(answering([port], "old"));
    expect((await evenkeel.metrics()).sum(LAST_RELOAD_GOOD)).toBe(1);
    expect(await evenkeel.reload("listeners: { web: { adress: 127.0.0.1:1 } }")).toBe(false);
    expect(evenkeel.stderr).toContain("the configuration stays as it was");
    expect(evenkeel.stderr).toContain("adress");
    expect((await evenkeel.metrics()).sum(LAST_RELOAD_GOOD)).toBe(0);
    expect(await ask(port)).toBe("old");
    expect(await evenkeel.reload("{ not even a file")).toBe(false);
    const tls = { certificates: [{ certificate: "/nowhere/site.pem", key: "/nowhere/site.key" }] };
    const listeners = { web: { ...listenOn(await freePort()), tls } };
    expect(await evenkeel.reload(answering([], "new", { listeners }))).toBe(false);
    expect(evenkeel.stderr).toContain("listeners.web.tls.certificates[0].certificate: /nowhere/site.pem: no such file");
    expect(await ask(port)).toBe("old");
    expect(await evenkeel.reload(answering([port], "new"))).toBe(true);
    expect((await evenkeel.metrics()).sum(LAST_RELOAD_GOOD)).toBe(1);
    await eventually(async () => (await ask(port)) === "new", "the new answer");
  },
  TIMEOUT_MS,
);

test(
  "a file that cannot be served is refused as a whole",
  async () => {
    const [port, taken] = [await freePort(), await freePort()];
    const other = Bun.listen({ hostname: "127.0.0.1", port: taken, socket: { data() {} } });
    const evenkeel = await startEvenkeel(answering([port], "old"));
    expect(await evenkeel.reload(answering([port, taken], "new"))).toBe(false);
    expect(evenkeel.stderr).toContain("already in use");
    for (let count = 0; count < 8; count++) expect(await ask(port)).toBe("old");
    other.stop(true);
    expect(await evenkeel.reload(answering([port, taken], "new"))).toBe(true);
    expect(await ask(taken)).toBe("new");
  },
  TIMEOUT_MS,
);

test(
  "connections of an unchanged listener live on; listeners come and go",
  async () => {
    const [stays, goes, comes] = [await freePort(), await freePort(), await freePort()];
    const [kept, left, added] = [`kept`, `left`, `added`];
    const config = (names: Record<string, number>, body: string): ConfigInput => ({
      ...answering([], body),
      listeners: Object.fromEntries(Object.entries(names).map(([name, port]) => [name, listenOn(port)])),
    });
    const evenkeel = await startEvenkeel(config({ [kept]: stays, [left]: goes }, "first"));
    const clients = await Promise.all(Array.from({ length: 8 }, () => KeepAliveClient.open(stays)));
    for (const client of clients) expect((await client.get("/")).body).toBe("first");
    const leaving = await KeepAliveClient.open(goes);
    expect((await leaving.get("/")).body).toBe("first");

    expect(await evenkeel.reload(config({ [kept]: stays, [added]: comes }, "second"))).toBe(true);
    for (const client of clients) {
      await eventually(async () => (await client.get("/")).body === "second", "the new configuration");
      expect(client.closed).toBe(false);
    }
    expect(await ask(comes)).toBe("second");
    await eventually(() => refusesConnections(goes), "the removed listener to be gone");
    await eventually(() => leaving.closed, "the end of an idle connection of the removed listener");
    for (const client of clients) client.close();
  },
  TIMEOUT_MS,
);

test(
  "watch: a changed file is reloaded by itself, a wrong one is refused",
  async () => {
    const port = await freePort();
    const evenkeel = await startEvenkeel(answering([port], "first", { watch: true }));
    expect(await ask(port)).toBe("first");
    evenkeel.write(answering([port], "second", { watch: true }));
    await eventually(
      async () => (await ask(port)) === "second",
      () => `the change by ${evenkeel.describe()}`,
    );
    evenkeel.write("nonsense: true");
    await evenkeel.says("reload refused");
    expect(await ask(port)).toBe("second");
    await turnsWatchingOff(evenkeel, port);
  },
  TIMEOUT_MS,
);

test(
  "a renamed listener keeps its address, and one may move to every address of its port",
  async () => {
    const port = await freePort();
    const named = (name: string): ConfigInput => ({
      ...answering([], name),
      listeners: { [name]: { address: `127.0.0.1:${port}` } },
    });
    const evenkeel = await startEvenkeel(named("first"));
    expect(await ask(port)).toBe("first");
    expect(await evenkeel.reload(named("second"))).toBe(true);
    expect(await ask(port)).toBe("second");
    const everywhere = { ...named("third"), listeners: { third: { address: `:${port}` } } };
    expect(await evenkeel.reload(everywhere)).toBe(true);
    expect(await ask(port)).toBe("third");
  },
  TIMEOUT_MS,
);

test(
  "the admin address moves, is refused where it cannot go, and goes away",
  async () => {
    const [port, next] = [await freePort(), await freePort()];
    const evenkeel = await startEvenkeel(answering([port], "here"));
    const withAdmin = (admin: ConfigInput["admin"]) =>
      JSON.stringify({ ...answering([port], "here"), accessLog: false, admin });
    const other = Bun.listen({ hostname: "127.0.0.1", port: next, socket: { data() {} } });
    expect(await evenkeel.reload(withAdmin({ address: `127.0.0.1:${next}` }))).toBe(false);
    expect(evenkeel.stderr).toContain(`admin: 127.0.0.1:${next}: cannot listen: the address is already in use`);
    expect(await evenkeel.readiness()).toBe(200);
    other.stop(true);
    expect(await evenkeel.reload(withAdmin({ address: `127.0.0.1:${next}` }))).toBe(true);
    expect((await fetch(`http://127.0.0.1:${next}/readyz`)).status).toBe(200);
    expect(await evenkeel.readiness()).toBe(0);
    expect(await evenkeel.reload(withAdmin(false))).toBe(true);
    expect(await refusesConnections(next)).toBe(true);
    expect(await evenkeel.reload(answering([port], "here"))).toBe(true);
    expect(await evenkeel.readiness()).toBe(200);
  },
  TIMEOUT_MS,
);

test(
  "the log changes its form and level, and says that the number of workers does not change",
  async () => {
    const port = await freePort();
    const evenkeel = await startEvenkeel(answering([port], "here"));
    expect(await evenkeel.reload(answering([port], "here", { workers: 3 }))).toBe(true);
    await evenkeel.says(
      "the number of workers changes only with a restart or an upgrade (SIGUSR2)  now=2  configured=3",
    );
    expect(evenkeel.workers()).toHaveLength(2);
    evenkeel.write(answering([port], "json", { log: { format: "json" } }));
    evenkeel.signal("SIGHUP");
    await evenkeel.says('"level":"info","message":"reloaded"');
    evenkeel.write(answering([port], "quiet", { log: { level: "error" } }));
    evenkeel.signal("SIGHUP");
    await eventually(async () => (await ask(port)) === "quiet", "the quiet configuration");
    expect(evenkeel.count('"message":"reloaded"')).toBe(1);
  },
  TIMEOUT_MS,
);

async function turnsWatchingOff(evenkeel: Evenkeel, port: number): Promise<void> {
  evenkeel.write(answering([port], "third"));
  await eventually(async () => (await ask(port)) === "third", "the change that turns watching off");
  evenkeel.write(answering([port], "fourth"));
  await Bun.sleep(600);
  expect(await ask(port)).toBe("third");
}

async function ask(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close" } });
  return response.text();
}

async function refusesConnections(port: number): Promise<boolean> {
  try {
    (await KeepAliveClient.open(port)).close();
    return false;
  } catch {
    return true;
  }
}
