/** The admin API over real sockets: what it shows, what it changes, and what it refuses. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";
import { eventually } from "../support/process.ts";
import { type Supervised, startSupervised } from "../support/supervised.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function endpoint(answer: (request: Request) => Response | Promise<Response>): string {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  stops.push(() => server.stop(true));
  return `127.0.0.1:${server.port}`;
}

const named = (name: string): string => endpoint(() => new Response(name));

function config(endpoints: NonNullable<ConfigInput["pools"]>[string]["endpoints"], more: object = {}): ConfigInput {
  return {
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    pools: { app: { endpoints, balance: "round-robin", health: { type: "tcp", interval: "200ms" }, ...more } },
  };
}

async function start(input: ConfigInput): Promise<Supervised> {
  const started = await startSupervised(input);
  stops.push(() => started.stop());
  return started;
}

async function answers(of: Supervised, count: number): Promise<string[]> {
  const texts: string[] = [];
  for (let index = 0; index < count; index++) texts.push(await (await fetch(`http://127.0.0.1:${of.port}/`)).text());
  return texts.sort();
}

const failure = (of: Promise<unknown>): Promise<string> =>
  of.then(
    () => "",
    (error: Error) => error.message,
  );
const path = (id: string): string => `pools/app/endpoints/${encodeURIComponent(id)}`;

describe("what is shown", () => {
  test("pools, endpoints and why they are in or out", async () => {
    const [a, b] = [named("a"), "127.0.0.1:1"];
    const to = await start(config([a, { address: b, weight: 3, tier: 1 }]));
    await answers(to, 3);
    expect((await to.api("GET", "pools")).body).toEqual([
      {
        name: "app",
        algorithm: "round-robin",
        endpointCount: 2,
        usable: 1,
        degraded: 0,
        blockedBy: [],
        inFlight: 0,
        waiting: 0,
        sharing: null,
      },
    ]);
    await eventually(async () => (await to.api("GET", path(b))).body.health === "unhealthy", "b to be down");
    const { body } = await to.api("GET", "pools/app");
    expect(body.endpoints[0]).toMatchObject({
      endpoint: a,
      state: "ready",
      health: "healthy",
      usable: true,
      requests: 3,
    });
    expect(body.endpoints[1]).toMatchObject({ usable: false, weight: 3, tier: 1, origin: "configuration" });
    expect(body.endpoints[1].reason).toContain("connecting to 127.0.0.1:1 failed");
    expect(body.endpoints[1].checks.at(-1)).toMatchObject({ passed: false });
    expect(body.endpoints[1].changes.map(({ type }: { type: string }) => type)).toEqual(["endpoint.down"]);
    expect(Date.now() - Date.parse(body.endpoints[1].since)).toBeLessThan(60_000);
  });

  test("the version, and the configuration without what is secret", async () => {
    const to = await start({
      ...config([named("a")], { health: { type: "http", headers: { Authorization: "Basic c2VjcmV0" } } }),
      admin: { address: "127.0.0.1:0", token: "a-very-secret-token" },
      sharedLimits: { redis: { url: ["redis://evenkeel:s3cr3t@127.0.0.1:1", "redis://:t0ps3cr3t@127.0.0.1:2/0"] } },
    });
    const bearer = { Authorization: "Bearer a-very-secret-token" };
    expect((await to.api("GET", "version", undefined, bearer)).body).toMatchObject({ generation: 1, workers: 1 });
    const shown = JSON.stringify((await to.api("GET", "config", undefined, bearer)).body);
    expect(shown).toContain("round-robin");
    expect(shown).not.toContain("a-very-secret-token");
    expect(shown).not.toContain("c2VjcmV0");
    expect(shown).toContain('"redis://evenkeel:(hidden)@127.0.0.1:1"');
    expect(shown).not.toContain("s3cr3t");
  });
});

describe("what is changed", () => {
  test("state: drain takes nothing new, maintenance is not checked, ready is back", async () => {
    const [a, b] = [named("a"), named("b")];
    const to = await start(config([a, b]));
    expect(await answers(to, 4)).toEqual(["a", "a", "b", "b"]);
    expect((await to.api("PATCH", path(a), { state: "drain" })).body).toMatchObject({ state: "drain", usable: false });
    expect(await answers(to, 3)).toEqual(["b", "b", "b"]);
    const { body } = await to.api("PUT", path(a), { state: "maintenance" });
    expect(body).toMatchObject({ state: "maintenance", health: "unchecked", reason: "in maintenance" });
    expect(await answers(to, 2)).toEqual(["b", "b"]);
    await to.api("PATCH", path(a), { state: "ready" });
    await eventually(async () => (await to.api("GET", path(a))).body.usable, "a to be usable");
    expect(await answers(to, 4)).toEqual(["a", "a", "b", "b"]);
  });

  test("it holds over a reload until the file changes the same", async () => {
    const [a, b] = [named("a"), named("b")];
    const to = await start(config([a, b]));
    await to.api("PATCH", path(a), { state: "drain", weight: 7 });
    await to.reload(config([a, b], { queue: { size: 7 } }));
    expect((await to.api("GET", path(a))).body).toMatchObject({ state: "drain", weight: 7 });
    expect(await answers(to, 2)).toEqual(["b", "b"]);
    await to.reload(config([{ address: a, weight: 2 }, b]));
    expect((await to.api("GET", path(a))).body).toMatchObject({ state: "drain", weight: 2 });
    await to.reload(config([{ address: a, weight: 2, state: "maintenance" }, b]));
    expect((await to.api("GET", path(a))).body).toMatchObject({ state: "maintenance" });
    await to.reload(config([a, b]));
    await eventually(async () => (await to.api("GET", path(a))).body.usable, "a to be usable");
  });

  test("a refused reload changes nothing of it", async () => {
    const [a, b] = [named("a"), named("b")];
    const to = await start(config([a, b]));
    await to.api("PATCH", path(a), { weight: 7 });
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    stops.push(() => taken.stop(true));
    const wrong = config([{ address: a, weight: 2 }, b]);
    const listeners = { ...wrong.listeners, more: { address: `127.0.0.1:${taken.port}`, pool: "app" } };
    expect(await failure(to.reload({ ...wrong, listeners }))).toContain("already in use");
    await to.reload(config([a, b]));
    expect((await to.api("GET", path(a))).body.weight).toBe(7);
  });

  test("endpoints are added and removed, over reloads too", async () => {
    const [a, b, c] = [named("a"), named("b"), named("c")];
    const to = await start(config([a, b]));
    const added = await to.api("POST", "pools/app/endpoints", { address: c, weight: 2 });
    expect([added.status, added.body.endpoint, added.body.origin]).toEqual([201, c, "operator"]);
    expect((await to.api("POST", "pools/app/endpoints", { address: c })).status).toBe(409);
    expect((await to.api("DELETE", path(a))).status).toBe(200);
    await eventually(async () => (await to.api("GET", path(c))).body.usable, "c to be usable");
    expect(await answers(to, 4)).toEqual(["b", "b", "c", "c"]);
    await to.reload(config([a, b], { queue: { size: 7 } }));
    expect(await answers(to, 4)).toEqual(["b", "b", "c", "c"]);
    await to.reload(config([b]));
    await to.reload(config([a, b]));
    await eventually(async () => (await to.api("GET", "pools/app")).body.usable === 3, "a to be back");
  });
});

describe("what is refused", () => {
  test("what is not understood, as application/problem+json", async () => {
    const a = named("a");
    const to = await start(config([a]));
    const bad: [string, string, unknown, number, string][] = [
      ["PATCH", path(a), "{", 400, "not valid JSON"],
      ["PATCH", path(a), {}, 400, "expected state, weight or both"],
      ["PATCH", path(a), { state: "off" }, 400, "state:"],
      ["PATCH", path(a), { weight: -1 }, 400, "weight:"],
      ["PATCH", path(a), { weight: 1.5 }, 400, "weight:"],
      ["PATCH", path(a), { weigth: 1 }, 400, "weigth"],
      ["PATCH", path("127.0.0.1:9"), { weight: 1 }, 404, "no endpoint 127.0.0.1:9; there are: 127.0.0.1:"],
      ["PATCH", "pools/none/endpoints/a", { weight: 1 }, 404, "no pool named none; there are: app"],
      ["POST", "pools/app/endpoints", { address: "localhost:80" }, 409, "IP address"],
      ["POST", "pools/app/endpoints", { address: "127.0.0.1" }, 409, "IP address"],
      ["POST", "pools/app/endpoints", { address: "127.0.0.1:80", tier: 99 }, 400, "tier"],
      ["POST", "pools/none/endpoints", { address: "127.0.0.1:80" }, 404, "no pool"],
      ["POST", "pools", {}, 405, "GET"],
      ["DELETE", "pools/app", undefined, 405, "GET"],
      ["POST", path(a), {}, 405, "PATCH"],
      ["GET", "nothing", undefined, 404, "/api/pools"],
      ["GET", "pools/app/endpoints/a/b", undefined, 404, "nothing here"],
      ["GET", "events?since=x", undefined, 400, "number"],
      ["GET", "pools/%ff", undefined, 400, "encoded"],
      ["GET", "pools/__proto__", undefined, 404, "no pool"],
    ];
    for (const [method, where, body, status, detail] of bad) {
      const answer = await to.api(method, where, body);
      expect([method, where, answer.status, answer.type]).toEqual([method, where, status, "application/problem+json"]);
      expect(answer.body.detail).toContain(detail);
    }
    expect((await to.api("GET", path(a))).body).toMatchObject({ state: "ready", weight: 1 });
  });

  test("what another site could make a browser send", async () => {
    const a = named("a");
    const to = await start(config([a]));
    const change = { state: "drain" };
    expect((await to.api("PATCH", path(a), change, { "Content-Type": "text/plain" })).status).toBe(415);
    expect(
      (await to.api("DELETE", path(a), undefined, { "Content-Type": "application/x-www-form-urlencoded" })).status,
    ).toBe(415);
    expect((await to.api("PATCH", path(a), change, { "Sec-Fetch-Site": "cross-site" })).status).toBe(403);
    const rebound = await fetch(`http://127.0.0.1:${to.adminPort}/api/pools`, { headers: { Host: "evil.example" } });
    expect(rebound.status).toBe(403);
    expect((await to.api("GET", path(a))).body.state).toBe("ready");
  });

  test("a name of another's that leads to this machine, also where it listens to all", async () => {
    const a = named("a");
    const to = await start({ ...config([a]), admin: { address: "0.0.0.0:0" } });
    const change = (host: string) => to.api("PATCH", path(a), { state: "drain" }, { Host: host });
    expect((await change("evil.example")).status).toBe(403);
    expect((await to.api("GET", path(a))).body.state).toBe("ready");
    expect((await change("localhost")).status).toBe(200);
  });

  test("a body that is too large", async () => {
    const a = named("a");
    const to = await start(config([a]));
    const response = await fetch(`http://127.0.0.1:${to.adminPort}/api/${path(a)}`, {
      method: "PATCH",
      headers: { "Content-Type": "application/json" },
      body: `{"weight": ${" ".repeat(70_000)}1}`,
    });
    expect(response.status).toBe(413);
  });

  test("who does not show the token", async () => {
    const to = await start({
      ...config([named("a")]),
      admin: { address: "127.0.0.1:0", token: "a-very-secret-token" },
    });
    const asked = (header?: string) =>
      to.api("GET", "pools", undefined, header === undefined ? {} : { Authorization: header });
    expect((await asked()).status).toBe(401);
    expect((await asked("Bearer a-very-secret-tokem")).status).toBe(401);
    expect((await asked("Basic a-very-secret-token")).status).toBe(401);
    expect((await asked("bearer a-very-secret-token")).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${to.adminPort}/readyz`)).status).toBe(200);
  });
});

describe("the socket in the file system", () => {
  test("is for its user alone, needs no token, and goes when evenkeel goes", async () => {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-admin-"));
    stops.push(() => rmSync(folder, { recursive: true, force: true }));
    const socket = join(folder, "admin.sock");
    const [a, b] = [named("a"), named("b")];
    const admin = { address: "127.0.0.1:0", socket, token: "a-very-secret-token" };
    const to = await startSupervised({ ...config([a, b]), admin });
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const response = await fetch(`http://localhost/api/${path(a)}`, {
      unix: socket,
      method: "PATCH",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ state: "drain" }),
    });
    expect(response.status).toBe(200);
    expect(await answers(to, 2)).toEqual(["b", "b"]);
    await to.stop();
    expect(existsSync(socket)).toBeFalse();
  });

  test("takes the place of one that was left behind, and of nothing else", async () => {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-admin-"));
    stops.push(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, "file");
    writeFileSync(file, "precious");
    const input = config([named("a")]);
    const started = startSupervised({ ...input, admin: { address: "127.0.0.1:0", socket: file } });
    expect(await failure(started)).toContain("no socket");
    const left = join(folder, "left.sock");
    const child = Bun.spawnSync([
      process.execPath,
      "-e",
      `Bun.listen({unix: ${JSON.stringify(left)}, socket: {data() {}}}); process.exit()`,
    ]);
    expect(child.exitCode).toBe(0);
    const to = await startSupervised({ ...input, admin: { address: "127.0.0.1:0", socket: left } });
    expect((await fetch("http://localhost/readyz", { unix: left })).status).toBe(200);
    await to.stop();
  });
});

describe("events", () => {
  async function reader(to: Supervised, headers: Readonly<Record<string, string>> = {}) {
    const leave = new AbortController();
    stops.push(() => leave.abort());
    const response = await fetch(`http://127.0.0.1:${to.adminPort}/api/events`, { headers, signal: leave.signal });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    let text = "";
    void (async () => {
      const decoder = new TextDecoder();
      for await (const piece of response.body as ReadableStream<Uint8Array>)
        text += decoder.decode(piece, { stream: true });
    })().catch(() => {});
    await eventually(() => text !== "", "the stream to begin");
    return { text: () => text, leave: () => leave.abort() };
  }

  test("tell what changes, and what was missed to who comes back", async () => {
    const [a, b] = [named("a"), named("b")];
    const to = await start(config([a, b]));
    const first = await reader(to);
    await to.api("PATCH", path(a), { state: "drain" });
    await eventually(() => first.text().includes("event: endpoint.state"), "the event");
    const lastId = /^id: (\d+)$/m.exec(first.text())?.[1] as string;
    first.leave();
    await to.api("PATCH", path(b), { weight: 9 });
    const second = await reader(to, { "Last-Event-ID": lastId });
    await eventually(() => second.text().includes("endpoint.weight"), "the missed event");
    expect(second.text()).not.toContain("event: endpoint.state");
    expect(second.text()).not.toContain("event: missed");
    const third = await reader(to, { "Last-Event-ID": "1" });
    await eventually(() => third.text().includes("event: endpoint.weight"), "all events");
    expect(third.text()).toContain("event: missed");
  });

  test("are for so many watchers and no more", async () => {
    const to = await start(config([named("a")]));
    const leave = new AbortController();
    stops.push(() => leave.abort());
    const open = () => fetch(`http://127.0.0.1:${to.adminPort}/api/events`, { signal: leave.signal });
    const statuses = await Promise.all(Array.from({ length: 65 }, async () => (await open()).status));
    expect(statuses.filter((status) => status === 503)).toHaveLength(1);
  });
});
