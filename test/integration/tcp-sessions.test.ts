/** Sessions of TCP connections: a client's next connection comes to the endpoint where its last one was. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { reasons, stopAll, use } from "../support/exchange-fixture.ts";
import { endAll, freePort } from "../support/process.ts";
import { hasRedis, RedisServer } from "../support/redis.ts";
import { eventually, type TcpClient, type TcpEndpoint, tcpClient, tcpEndpoint } from "../support/tcp.ts";

type PoolInput = NonNullable<ConfigInput["pools"]>[string];
type Sessions = NonNullable<PoolInput["sessions"]>;

afterEach(async () => {
  await stopAll();
  await endAll();
});

/** Says a name, and stays open until the client has ended. */
async function named(name: string, port = 0): Promise<TcpEndpoint> {
  const says = (socket: Socket): void => {
    socket.on("end", () => socket.end());
    socket.write(name);
  };
  return use(await tcpEndpoint(says, port));
}

const endpoints = (...names: string[]): Promise<TcpEndpoint[]> => Promise.all(names.map((name) => named(name)));

interface Options {
  readonly sessions?: Partial<Sessions>;
  readonly pool?: Partial<PoolInput>;
  readonly pools?: NonNullable<ConfigInput["pools"]>;
  readonly clock?: FakeClock;
}

/** Clients tell their addresses in PROXY headers. */
function serve(addresses: PoolInput["endpoints"], { sessions, pool, pools, clock }: Options = {}): Balancer {
  const app = { balance: "first", endpoints: addresses, sessions: { type: "clientIp", ...sessions }, ...pool };
  const listener = {
    address: "127.0.0.1:0",
    protocol: "tcp",
    pool: "app",
    proxyProtocol: { from: ["127.0.0.1"] },
    timeouts: { idle: "1d" },
  };
  const config = { listeners: { db: listener }, pools: { app, ...pools } } as ConfigInput;
  return use(startBalancer(config, clock === undefined ? {} : { clock, timers: clock }));
}

async function connect(to: Balancer, ip: string): Promise<TcpClient> {
  const client = await tcpClient(to.port);
  use({ stop: () => void client.socket.destroy() });
  client.socket.write(`PROXY TCP4 ${ip} 192.0.2.99 4711 443\r\n`);
  return client;
}

/** A connection that stays, and who it came to: "reset" when it was refused. */
async function stay(to: Balancer, ip: string): Promise<{ client: TcpClient; name: string }> {
  const client = await connect(to, ip);
  await client.until(() => client.received() > 0 || client.ended() !== "");
  return { client, name: client.text() === "" ? client.ended() : client.text() };
}

async function leave(client: TcpClient): Promise<void> {
  client.socket.end();
  await client.closed;
}

async function visit(to: Balancer, ip: string): Promise<string> {
  const { client, name } = await stay(to, ip);
  await leave(client);
  return name;
}

async function visits(to: Balancer, ...ips: string[]): Promise<string> {
  const names: string[] = [];
  for (const ip of ips) names.push(await visit(to, ip));
  return names.join(" ");
}

const counts = ({ tables }: Balancer) => ({
  new: tables.metrics.read("pool", 0, POOL.sessionsNew),
  kept: tables.metrics.read("pool", 0, POOL.sessionsKept),
  moved: tables.metrics.read("pool", 0, POOL.sessionsMoved),
  refused: tables.metrics.read("pool", 0, POOL.sessionsRefused),
});

/** Without sessions no two would come to the same one. */
const IN_TURN = { pool: { balance: "round-robin" } } as const;
const [ANN, BOB] = ["198.51.100.1", "198.51.100.2"] as const;

describe("by the client's address", () => {
  test("each comes to where it was", async () => {
    const [a, b] = (await endpoints("a", "b")) as [TcpEndpoint, TcpEndpoint];
    const to = serve([a.address, b.address], IN_TURN);
    const [ann, bob] = [await visit(to, ANN), await visit(to, BOB)];
    expect(ann).not.toBe(bob);
    expect(await visits(to, BOB, BOB, ANN)).toBe(`${bob} ${bob} ${ann}`);
    await eventually(() => to.openConnections() === 0, "the end of all");
    expect(counts(to)).toEqual({ new: 2, kept: 3, moved: 0, refused: 0 });
  });

  test("its endpoint is down: it moves and stays where it has moved to", async () => {
    const all = await endpoints("a", "b", "c");
    const to = serve(all.map(({ address }) => address));
    expect(await visit(to, ANN)).toBe("a");
    to.setEligible("app", 0, false);
    expect(await visit(to, ANN)).toBe("b");
    to.setEligible("app", 0, true);
    expect(await visits(to, ANN, ANN)).toBe("b b");
    await eventually(() => counts(to).kept === 2, "the end of all");
    expect(counts(to)).toEqual({ new: 1, kept: 2, moved: 1, refused: 0 });
  });

  test("its endpoint cannot be reached, which no check has seen yet: the same, in one try more", async () => {
    const [a, b] = (await endpoints("a", "b")) as [TcpEndpoint, TcpEndpoint];
    const to = serve([a.address, b.address]);
    expect(await visit(to, ANN)).toBe("a");
    await a.stop();
    expect(await visits(to, ANN, ANN)).toBe("b b");
    await named("a again", a.port);
    expect(await visit(to, ANN)).toBe("b");
  });

  test("`refuse`: nobody else gets it, not even the fallback; it has its endpoint again", async () => {
    const [a, b, spare] = (await endpoints("a", "b", "s")) as [TcpEndpoint, TcpEndpoint, TcpEndpoint];
    const to = serve([a.address, b.address], {
      sessions: { onFailure: "refuse" },
      pool: { fallback: "spare" },
      pools: { spare: { endpoints: [spare.address] } },
    });
    expect(await visit(to, ANN)).toBe("a");
    to.setEligible("app", 0, false);
    expect(await visits(to, ANN, BOB)).toBe("reset b");
    to.setEligible("app", 0, true);
    expect(await visit(to, ANN)).toBe("a");
    await a.stop();
    expect(await visit(to, ANN)).toBe("reset");
    expect(reasons(to)).toEqual(["E_SESSION_ENDPOINT", "E_CONNECT_FAILED"]);
    expect(counts(to)).toMatchObject({ moved: 0, refused: 1 });
    expect(to.inFlight()).toBe(0);
  });

  test("a fallback pool has sessions of its own", async () => {
    const [a, b, c] = (await endpoints("a", "b", "c")) as [TcpEndpoint, TcpEndpoint, TcpEndpoint];
    const spare: PoolInput = { ...IN_TURN.pool, endpoints: [b.address, c.address], sessions: { type: "clientIp" } };
    const to = serve([a.address], { pool: { fallback: "spare" }, pools: { spare } });
    expect(await visit(to, ANN)).toBe("a");
    to.setEligible("app", 0, false);
    const homes = await visits(to, ANN, BOB);
    expect(["b c", "c b"]).toContain(homes);
    expect(await visits(to, ANN, BOB)).toBe(homes);
    to.setEligible("app", 0, true);
    expect(await visit(to, ANN)).toBe("a");
  });

  test("a draining endpoint keeps those it has until its time is over", async () => {
    const all = await endpoints("a", "b");
    const to = serve(all.map(({ address }) => address));
    expect(await visit(to, ANN)).toBe("a");
    to.tables.endpoints.setState(0, "drain");
    expect(await visits(to, ANN, BOB, ANN, BOB)).toBe("a b a b");
    to.tables.endpoints.setDrained(0);
    expect(await visit(to, ANN)).toBe("b");
  });

  test("a full endpoint is waited for", async () => {
    const all = await endpoints("a", "b");
    const to = serve(all.map(({ address }) => ({ address, maxConnections: 1 })));
    const first = await stay(to, ANN);
    const second = await connect(to, ANN);
    await eventually(() => to.tables.metrics.read("pool", 0, POOL.waiting) === 1, "somebody who waits");
    await leave(first.client);
    await second.until(() => second.text() === "a");
    expect(await visit(to, BOB)).toBe("b");
  });

  test("lives for its time after the last connection has ended, however long that was", async () => {
    const clock = new FakeClock();
    const all = await endpoints("a", "b");
    const to = serve(
      all.map(({ address }) => address),
      { ...IN_TURN, sessions: { ttl: "60s" }, clock },
    );
    const { client, name } = await stay(to, ANN);
    clock.advance(3_600_000);
    await leave(client);
    await eventually(() => to.openConnections() === 0, "its end");
    clock.advance(59_000);
    expect(await visits(to, ANN, ANN)).toBe(`${name} ${name}`);
    await eventually(() => to.openConnections() === 0, "its end");
    clock.advance(61_000);
    expect(await visit(to, ANN)).not.toBe(name);
  });

  test("one that has moved while an old connection lasted stays where it has moved to", async () => {
    const all = await endpoints("a", "b");
    const to = serve(all.map(({ address }) => address));
    const { client } = await stay(to, ANN);
    to.setEligible("app", 0, false);
    expect(await visit(to, ANN)).toBe("b");
    to.setEligible("app", 0, true);
    await leave(client);
    await eventually(() => to.openConnections() === 0, "its end");
    expect(await visits(to, ANN, ANN)).toBe("b b");
  });
});

if (!hasRedis()) console.log("skipped: sessions of connections in Redis: redis-server is not installed");
else
  test("shared through Redis by two balancers; when it hangs, connections wait for its timeout and go on", async () => {
    const redis = await new RedisServer(await freePort()).start();
    const all = await endpoints("a", "b", "c", "d");
    const addresses = all.map(({ address }) => address);
    const shared = { redis: { url: redis.url, timeout: "1s", failures: 2, wait: "100ms" } } as const;
    const options = { ...IN_TURN, sessions: shared };
    const [first, second] = [serve(addresses, options), serve(addresses, options)];
    const fallbacks = ({ tables }: Balancer): number => tables.metrics.read("pool", 0, POOL.sessionFallbacks);
    for (const to of [first, second]) {
      // Until it is connected, each goes by what it knows itself.
      let before = -1;
      while (fallbacks(to) > before) {
        before = fallbacks(to);
        await visit(to, "203.0.113.1");
      }
    }
    const ips = Array.from({ length: 8 }, (_, index) => `198.51.100.${index}`);
    const homes = await visits(first, ...ips);
    expect(new Set(homes.split(" ")).size).toBe(4);
    expect(await visits(second, ...ips.toReversed())).toBe(homes.split(" ").toReversed().join(" "));

    redis.pause();
    const hasty = await connect(first, "203.0.113.9");
    await Bun.sleep(20);
    hasty.socket.destroy();
    await eventually(() => first.openConnections() === 0, "the end of one that did not wait");
    const before = fallbacks(second);
    expect(await visits(second, ...ips)).toBe(homes);
    expect(fallbacks(second)).toBe(before + ips.length);
    redis.resume();
    expect(first.inFlight() + second.inFlight()).toBe(0);
  }, 30_000);
