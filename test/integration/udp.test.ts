/** UDP listeners over real sockets: who gets which datagram, and every way a flow can end. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ErrorCode } from "../../src/base/errors.ts";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { ENDPOINT, LISTENER, REASONS } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { eventually } from "../support/tcp.ts";
import { type UdpPeer, udpEcho, udpPeer } from "../support/udp.ts";

const stops: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

type Listener = Partial<Extract<ConfigInput["listeners"][string], { protocol: "udp" }>>;
type Pool = Omit<NonNullable<ConfigInput["pools"]>[string], "endpoints">;

async function kept(peer: Promise<UdpPeer>): Promise<UdpPeer> {
  const started = await peer;
  stops.push(started.stop);
  return started;
}

const echo = (name?: string, options?: Parameters<typeof udpEcho>[1]) => kept(udpEcho(name, options));
const client = (host = "127.0.0.1") => kept(udpPeer(undefined, { host }));

function configOf(endpoints: readonly string[], listener: Listener = {}, pool: Pool = {}): ConfigInput {
  return {
    listeners: { game: { address: "127.0.0.1:0", protocol: "udp", pool: "app", ...listener } },
    pools: { app: { endpoints: [...endpoints], ...pool } },
  };
}

function balancer(endpoints: readonly string[], listener: Listener = {}, pool: Pool = {}, clock?: FakeClock): Balancer {
  const started = startBalancer(
    configOf(endpoints, listener, pool),
    clock === undefined ? {} : { clock, timers: clock },
  );
  stops.push(started.stop);
  return started;
}

const counted = (of: Balancer, field: keyof typeof LISTENER): number =>
  of.tables.metrics.read("listener", 0, LISTENER[field]);
const reason = (of: Balancer, code: ErrorCode): number => of.tables.metrics.read("reason", REASONS.indexOf(code), 0);

/** Sends, and waits for the answer. */
async function ask(from: UdpPeer, to: Balancer, text: string, host = "127.0.0.1"): Promise<string> {
  const before = from.received.length;
  from.send(text, to.port, host);
  await eventually(() => from.received.length > before, `an answer to ${text}`);
  return from.received.at(-1)?.text ?? "";
}

/** A datagram that nobody answers has been dealt with when one that is answered has. */
async function settled(to: Balancer, datagrams: number): Promise<void> {
  await eventually(() => counted(to, "datagramsIn") + counted(to, "datagramsDropped") >= datagrams, "all datagrams");
}

async function nobody(): Promise<string> {
  const gone = await udpPeer();
  await gone.stop();
  return gone.address;
}

describe("flows", () => {
  test("what a client sends and what its endpoint answers arrive, on one flow", async () => {
    const to = balancer([(await echo()).address]);
    const from = await client();
    expect(await ask(from, to, "one")).toBe("echo:one");
    expect(await ask(from, to, "two")).toBe("echo:two");
    expect(to.inFlight()).toBe(1);
    expect(counted(to, "connections")).toBe(1);
    expect(counted(to, "datagramsIn")).toBe(2);
    expect(counted(to, "datagramsOut")).toBe(2);
    expect(counted(to, "bytesIn")).toBe(6);
    expect(counted(to, "bytesOut")).toBe(16);
    expect(from.received[0]?.port).toBe(to.port);
  });

  test("a client stays with its endpoint, several clients are spread", async () => {
    const [a, b] = [await echo("a"), await echo("b")];
    const to = balancer([a.address, b.address], {}, { balance: "round-robin" });
    const clients = [await client(), await client(), await client(), await client()];
    for (let round = 0; round < 3; round++) for (const from of clients) await ask(from, to, "x");
    for (const from of clients) expect(new Set(from.texts()).size).toBe(1);
    expect([a.received.length, b.received.length]).toEqual([6, 6]);
  });

  test("endpoints may send many answers, and send first later on", async () => {
    const source = await kept(
      udpPeer((_datagram, answer) => {
        for (let part = 0; part < 100; part++) answer(`part ${part}`);
      }),
    );
    const to = balancer([source.address]);
    const from = await client();
    from.send("go", to.port);
    await eventually(() => from.received.length === 100, "all parts");
    expect(from.texts().at(-1)).toBe("part 99");
  });

  test("datagrams keep their borders: empty, small and the longest there are", async () => {
    const to = balancer([(await kept(udpPeer(({ text }, answer) => answer(String(text.length))))).address]);
    const from = await client();
    expect(await ask(from, to, "")).toBe("0");
    expect(await ask(from, to, "x")).toBe("1");
    expect(await ask(from, to, "x".repeat(65_507))).toBe("65507");
  });

  test("many at once are batched and none is mixed up", async () => {
    const to = balancer([(await echo("a")).address, (await echo("b")).address]);
    const clients = await Promise.all(Array.from({ length: 40 }, () => client()));
    for (let number = 0; number < 5; number++)
      clients.forEach((from, index) => {
        from.send(`${index}/${number}`, to.port);
      });
    await eventually(() => clients.every((from) => from.received.length === 5), "all answers");
    clients.forEach((from, index) => {
      const name = from.texts()[0]?.[0];
      expect(from.texts().sort()).toEqual([0, 1, 2, 3, 4].map((number) => `${name}:${index}/${number}`));
    });
    expect(to.openConnections()).toBe(40);
  });

  test("the same key goes to the same endpoint", async () => {
    const [a, b] = [await echo("a"), await echo("b")];
    const to = balancer([a.address, b.address], {}, { balance: "ring-hash", key: "clientIp" });
    const answers = new Set<string>();
    for (let index = 0; index < 6; index++) answers.add(await ask(await client(), to, "x"));
    expect(answers.size).toBe(1);
  });

  test("routes go by the client's address", async () => {
    const [inside, outside] = [await echo("inside"), await echo("outside")];
    const to = startBalancer({
      listeners: { game: { address: "127.0.0.1:0", protocol: "udp", pool: "outside" } },
      routes: [{ listeners: ["game"], match: { clientIp: ["127.0.0.2"] }, pool: "inside" }],
      pools: { inside: { endpoints: [inside.address] }, outside: { endpoints: [outside.address] } },
    });
    stops.push(to.stop);
    expect(await ask(await client("127.0.0.2"), to, "x")).toBe("inside:x");
    expect(await ask(await client("127.0.0.3"), to, "x")).toBe("outside:x");
  });
});

describe("the address that the client spoke to", () => {
  test("is where answers come from, on a listener for all addresses", async () => {
    const to = balancer([(await echo()).address], { address: ":0" });
    const from = await client("127.0.0.1");
    for (const host of ["127.0.0.2", "127.0.0.1", "127.9.9.9"]) {
      expect(await ask(from, to, host, host)).toBe(`echo:${host}`);
      expect(from.received.at(-1)).toMatchObject({ address: host, port: to.port });
    }
    // One client port, three addresses of ours: three flows.
    expect(to.inFlight()).toBe(3);
  });

  test("works for IPv6 clients of the same listener", async () => {
    if (!readFileSync("/proc/net/if_inet6", { encoding: "utf8" }).includes("00000000000000000000000000000001")) return;
    const to = balancer([(await echo()).address], { address: ":0" });
    const from = await client("::1");
    expect(await ask(from, to, "six", "::1")).toBe("echo:six");
    expect(from.received.at(-1)).toMatchObject({ address: "::1", port: to.port });
  });
});

describe("ends", () => {
  test("a flow ends when nothing is sent for its idle timeout, and no sooner", async () => {
    const clock = new FakeClock();
    const to = balancer([(await echo()).address], { timeouts: { idle: "10s" } }, {}, clock);
    const from = await client();
    await ask(from, to, "one");
    clock.advance(9_000);
    await ask(from, to, "two");
    clock.advance(9_000);
    expect(to.openConnections()).toBe(1);
    clock.advance(1_200);
    expect(to.openConnections()).toBe(0);
    expect(to.inFlight()).toBe(0);
    expect(await ask(from, to, "three")).toBe("echo:three");
    expect(counted(to, "connections")).toBe(2);
  });

  test("a flow ends with its last expected answer", async () => {
    const to = balancer([(await echo()).address], { responses: 1 });
    const from = await client();
    for (const text of ["a", "b", "c"]) expect(await ask(from, to, text)).toBe(`echo:${text}`);
    expect(to.openConnections()).toBe(0);
    expect(to.inFlight()).toBe(0);
    expect(counted(to, "requests")).toBe(3);
  });

  test("several questions on one flow wait for all their answers", async () => {
    const answers: (() => void)[] = [];
    const slow = await kept(
      udpPeer(({ text }, answer) => {
        answers.push(() => answer(text));
      }),
    );
    const to = balancer([slow.address], { responses: 2 });
    const from = await client();
    from.send("a", to.port);
    from.send("b", to.port);
    await eventually(() => answers.length === 2, "both questions");
    for (const answer of [...answers, ...answers]) {
      expect(to.openConnections()).toBe(1);
      const before = from.received.length;
      answer();
      await eventually(() => from.received.length > before, "an answer");
    }
    await eventually(() => to.openConnections() === 0, "the end");
  });

  test("an answer that never comes is the endpoint's failure", async () => {
    const clock = new FakeClock();
    const silent = await kept(udpPeer());
    const to = balancer([silent.address], { responses: 1, timeouts: { idle: "1s" } }, {}, clock);
    (await client()).send("x", to.port);
    await eventually(() => silent.received.length === 1, "the question");
    clock.advance(1_200);
    expect(reason(to, "E_RESPONSE_TIMEOUT")).toBe(1);
    expect(to.tables.metrics.read("endpoint", 0, ENDPOINT.failures)).toBe(1);
    expect(to.inFlight()).toBe(0);
  });

  test("an endpoint that is gone ends the flow; the next datagram goes elsewhere", async () => {
    const [alive, dead] = [await echo("alive"), await nobody()];
    const to = balancer([dead, alive.address], {}, { balance: "first" });
    const from = await client();
    from.send("lost", to.port);
    await eventually(() => reason(to, "E_CONNECT_FAILED") === 1, "the failure");
    expect(to.inFlight()).toBe(0);
    expect(await ask(from, to, "x")).toBe("alive:x");
    expect(await ask(await client(), to, "y")).toBe("alive:y");
    expect(to.tables.metrics.read("endpoint", 0, ENDPOINT.failures)).toBe(1);
  });

  test("an endpoint to which there is no way is left as well", async () => {
    // Nobody may send to this address without having asked for it.
    const to = balancer(["255.255.255.255:9", (await echo("alive")).address], {}, { balance: "first" });
    const from = await client();
    from.send("lost", to.port);
    await eventually(() => reason(to, "E_CONNECT_FAILED") === 1, "the failure");
    expect(await ask(from, to, "x")).toBe("alive:x");
    expect(to.inFlight()).toBe(1);
  });

  test("an endpoint that dies in the middle of a flow is left", async () => {
    const [first, second] = [await echo("first"), await echo("second")];
    const to = balancer([first.address, second.address], {}, { balance: "first" });
    const from = await client();
    expect(await ask(from, to, "x")).toBe("first:x");
    await first.stop();
    await eventually(() => {
      from.send("x", to.port);
      return from.texts().at(-1) === "second:x";
    }, "an answer of the other endpoint");
    expect(to.inFlight()).toBe(1);
  });

  test("when all are gone they are tried nevertheless", async () => {
    const dead = await nobody();
    const to = balancer([dead]);
    const from = await client();
    from.send("x", to.port);
    await eventually(() => reason(to, "E_CONNECT_FAILED") === 1, "the failure");
    const revived = await echo("back", { port: Number(dead.split(":")[1]) });
    expect(await ask(from, to, "y")).toBe("back:y");
    await revived.stop();
  });

  test("an endpoint that is not eligible keeps its flows and gets no new ones", async () => {
    const [a, b] = [await echo("a"), await echo("b")];
    const to = balancer([a.address, b.address], {}, { balance: "first" });
    const from = await client();
    expect(await ask(from, to, "x")).toBe("a:x");
    to.setEligible("app", 0, false);
    expect(await ask(from, to, "y")).toBe("a:y");
    expect(await ask(await client(), to, "z")).toBe("b:z");
  });
});

describe("per packet", () => {
  test("each datagram is balanced on its own, and answers go back to who asked", async () => {
    const [a, b] = [await echo("a"), await echo("b")];
    const to = balancer([a.address, b.address], { perPacket: true }, { balance: "round-robin" });
    const [one, two] = [await client(), await client()];
    for (let round = 0; round < 4; round++) {
      await ask(one, to, "1");
      await ask(two, to, "2");
    }
    expect([a.received.length, b.received.length]).toEqual([4, 4]);
    expect(one.texts().every((text) => text.endsWith(":1"))).toBe(true);
    expect(two.texts().every((text) => text.endsWith(":2"))).toBe(true);
    expect(to.openConnections()).toBe(2);
  });

  test("an endpoint that is gone costs one datagram, not the flow", async () => {
    const [alive, dead] = [await echo("alive"), await nobody()];
    const to = balancer([dead, alive.address], { perPacket: true }, { balance: "first" });
    const from = await client();
    from.send("1", to.port);
    await eventually(() => to.tables.metrics.read("endpoint", 0, ENDPOINT.failures) === 1, "the failure");
    for (const text of ["2", "3", "4"]) expect(await ask(from, to, text)).toBe(`alive:${text}`);
    expect(counted(to, "connections")).toBe(1);
    expect(to.inFlight()).toBe(1);
  });
});

describe("limits", () => {
  test("a full table takes no new flow and keeps those it has", async () => {
    const to = balancer([(await echo()).address], { maxFlows: 2 });
    const [one, two, three] = [await client(), await client(), await client()];
    await ask(one, to, "x");
    await ask(two, to, "x");
    three.send("x", to.port);
    await settled(to, 3);
    expect(counted(to, "rejected")).toBe(1);
    expect(counted(to, "datagramsDropped")).toBe(1);
    expect(reason(to, "E_TOO_MANY_CONNECTIONS")).toBe(1);
    expect(await ask(one, to, "y")).toBe("echo:y");
    expect(three.received).toEqual([]);
  });

  test("one client cannot take all flows", async () => {
    const to = balancer([(await echo()).address], { maxFlowsPerClient: 1 });
    await ask(await client(), to, "x");
    (await client()).send("x", to.port);
    await settled(to, 2);
    expect(counted(to, "rejected")).toBe(1);
    expect(await ask(await client("127.0.0.2"), to, "z")).toBe("echo:z");
  });

  test("what is too long is dropped", async () => {
    const endpoint = await echo();
    const to = balancer([endpoint.address], { maxDatagramBytes: "100B" });
    const from = await client();
    from.send("x".repeat(101), to.port);
    expect(await ask(from, to, "x".repeat(100))).toBe(`echo:${"x".repeat(100)}`);
    expect(endpoint.received.length).toBe(1);
    expect(counted(to, "datagramsDropped")).toBe(1);
  });

  test("an endpoint takes no more flows than it may", async () => {
    const address = (await echo()).address;
    const to = startBalancer({
      listeners: { game: { address: "127.0.0.1:0", protocol: "udp", pool: "app" } },
      pools: { app: { endpoints: [{ address, maxConnections: 1 }] } },
    });
    stops.push(to.stop);
    await ask(await client(), to, "x");
    (await client()).send("x", to.port);
    await settled(to, 2);
    expect(reason(to, "E_NO_ENDPOINT")).toBe(1);
    expect(to.inFlight()).toBe(1);
  });

  test("without an endpoint datagrams are dropped and counted", async () => {
    const to = balancer([(await echo()).address]);
    to.setEligible("app", 0, false);
    const from = await client();
    from.send("x", to.port);
    await settled(to, 1);
    expect(reason(to, "E_NO_ENDPOINT")).toBe(1);
    to.setEligible("app", 0, true);
    expect(await ask(from, to, "y")).toBe("echo:y");
  });
});

describe("reload and stop", () => {
  test("flows live on when their listener stays; new ones go by the new configuration", async () => {
    const [a, b] = [await echo("a"), await echo("b")];
    const to = balancer([a.address]);
    const from = await client();
    await ask(from, to, "x");
    to.reload(configOf([b.address]));
    expect(await ask(from, to, "y")).toBe("a:y");
    expect(await ask(await client(), to, "z")).toBe("b:z");
  });

  test("a listener that is gone keeps its flows until the drain timeout and begins none", async () => {
    const clock = new FakeClock();
    const endpoint = await echo();
    const to = balancer([endpoint.address], {}, {}, clock);
    const from = await client();
    await ask(from, to, "x");
    to.reload({
      listeners: { other: { address: "127.0.0.1:0", protocol: "udp" } },
      shutdown: { drainTimeout: "5s" },
    });
    expect(await ask(from, to, "y")).toBe("echo:y");
    (await client()).send("new", to.port);
    await settled(to, 3);
    expect(endpoint.texts()).toEqual(["x", "y"]);
    expect(to.openConnections()).toBe(1);
    clock.advance(5_000);
    expect(to.openConnections()).toBe(0);
    expect(to.inFlight()).toBe(0);
    expect(reason(to, "E_SHUTTING_DOWN")).toBe(1);
  });

  test("nothing is left open", async () => {
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const endpoint = await echo();
    const clients = await Promise.all(Array.from({ length: 20 }, () => client()));
    const before = descriptors();
    for (let round = 0; round < 3; round++) {
      const to = balancer([endpoint.address], round === 2 ? { responses: 1 } : {});
      for (const from of clients) await ask(from, to, "x");
      await to.stop();
      expect(to.inFlight()).toBe(0);
      expect(to.openConnections()).toBe(0);
    }
    expect(descriptors()).toBe(before);
  });
});

test("the access log has a line per flow", async () => {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-udp-"));
  stops.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "access.log");
  const endpoint = await echo();
  const to = startBalancer({ ...configOf([endpoint.address], { responses: 2 }), accessLog: { path } });
  stops.push(to.stop);
  const from = await client();
  await ask(from, to, "one");
  await ask(from, to, "two");
  await to.stop();
  const lines = readFileSync(path, "utf8").trim().split("\n");
  expect(lines.length).toBe(1);
  expect(JSON.parse(lines[0] as string)).toMatchObject({
    client: "127.0.0.1",
    clientPort: from.port,
    listener: "game",
    route: "game-default",
    pool: "app",
    endpoint: endpoint.address,
    protocol: "UDP",
    datagramsIn: 2,
    datagramsOut: 2,
    bytesIn: 6,
    bytesOut: 16,
    attempts: 1,
    reason: "E_SHUTTING_DOWN",
  });
});
