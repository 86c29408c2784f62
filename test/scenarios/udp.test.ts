/** UDP through the whole program with two workers: reloads, a worker that is killed, and a graceful stop. */
import { afterAll, afterEach, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { endAll, eventually } from "../support/process.ts";
import { type UdpPeer, udpEcho, udpPeer } from "../support/udp.ts";

const CLIENTS = 12;
const peers: UdpPeer[] = [];
afterEach(async () => {
  for (const peer of peers.splice(0)) await peer.stop();
});
afterAll(endAll);

async function kept(peer: Promise<UdpPeer>): Promise<UdpPeer> {
  peers.push(await peer);
  return peer;
}

/** A port of UDP that is free now. */
async function freePort(): Promise<number> {
  const peer = await udpPeer();
  await peer.stop();
  return peer.port;
}

function configOf(port: number, endpoint: UdpPeer, more: Partial<ConfigInput> = {}): ConfigInput {
  return {
    workers: 2,
    listeners: { game: { address: `:${port}`, protocol: "udp", pool: "app" } },
    // Nothing is said of health: an empty datagram is sent, and only "nobody is there" is bad.
    pools: { app: { endpoints: [endpoint.address] } },
    ...more,
  };
}

/** Sends until there is an answer. */
async function served(from: UdpPeer, port: number, text: string, expected: string): Promise<void> {
  await eventually(() => {
    if (from.texts().includes(expected)) return true;
    from.send(text, port);
    return false;
  }, `${expected} for ${text}`);
}

/** As many ports at the endpoint as there were flows. */
const flowsAt = (endpoint: UdpPeer): number =>
  new Set(endpoint.received.filter(({ text }) => text !== "").map(({ port }) => port)).size;

async function clientsOf(evenkeel: Evenkeel, port: number, name: string): Promise<UdpPeer[]> {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => kept(udpPeer())));
  for (const from of clients) await served(from, port, "hello", `${name}:hello`);
  expect((await evenkeel.metrics()).sum("evenkeel_listener_connections_open")).toBe(CLIENTS);
  return clients;
}

test("flows live on over reloads, new ones go by the new configuration, and a listener that goes keeps them", async () => {
  const [a, b] = [await kept(udpEcho("a")), await kept(udpEcho("b"))];
  const port = await freePort();
  const evenkeel = await startEvenkeel(configOf(port, a));
  const clients = await clientsOf(evenkeel, port, "a");
  const flows = flowsAt(a);
  expect(await evenkeel.reload(configOf(port, b))).toBe(true);
  for (const from of clients) await served(from, port, "again", "a:again");
  expect(flowsAt(a)).toBe(flows);
  await served(await kept(udpPeer()), port, "new", "b:new");
  const other = await freePort();
  expect(await evenkeel.reload(configOf(other, b, { shutdown: { drainTimeout: "1s" } }))).toBe(true);
  await served(await kept(udpPeer()), other, "moved", "b:moved");
  await eventually(
    async () => (await evenkeel.metrics()).sum("evenkeel_listener_connections_open") === 1,
    "the end of what the old address had",
  );
  evenkeel.signal("SIGQUIT");
  await evenkeel.ended;
}, 60_000);

test("a worker that is killed costs its own flows, and their clients are served again on the same port", async () => {
  const echo = await kept(udpEcho("echo"));
  const port = await freePort();
  const evenkeel = await startEvenkeel(configOf(port, echo));
  const clients = await clientsOf(evenkeel, port, "echo");
  const [victim] = evenkeel.workers();
  process.kill(victim as number, "SIGKILL");
  // At once: what comes before the replacement serves waits for it.
  for (const from of clients) from.send("after", port);
  await eventually(() => clients.every((from) => from.texts().includes("echo:after")), "an answer for everyone");
  await eventually(() => evenkeel.workers().length === 2, "the replacement");
  const metrics = await evenkeel.metrics();
  expect(metrics.sum("evenkeel_listener_connections_open")).toBe(CLIENTS);
  expect(metrics.sum("evenkeel_endpoint_in_flight")).toBe(CLIENTS);
  expect(metrics.sum("evenkeel_worker_restarts_total")).toBe(1);
  evenkeel.signal("SIGQUIT");
  await evenkeel.ended;
}, 60_000);

test("a graceful stop waits for the last answer", async () => {
  let answer = (): void => {};
  const slow = await kept(
    udpPeer(({ text }, reply) => {
      if (text !== "") answer = () => reply("late");
    }),
  );
  const port = await freePort();
  const listeners = { dns: { address: `127.0.0.1:${port}`, protocol: "udp", pool: "app", responses: 1 } } as const;
  const evenkeel = await startEvenkeel(configOf(port, slow, { listeners }));
  const from = await kept(udpPeer());
  await eventually(() => {
    if (slow.texts().includes("question")) return true;
    from.send("question", port);
    return false;
  }, "the question");
  evenkeel.signal("SIGTERM");
  await Bun.sleep(100);
  const asked = slow.texts().filter((text) => text === "question").length;
  for (let number = 0; number < asked; number++) answer();
  await eventually(() => from.texts().includes("late"), "the answer");
  expect(await evenkeel.ended).toBe(0);
}, 60_000);
