/** What evenkeel.yaml says, with real Redis servers. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { RedisClient } from "./redis-client.ts";
import { type RunningExample, redisServer, startExample } from "./start.ts";

if (redisServer === undefined) console.log("skipped: redis-server is not installed");
else {
  let example: RunningExample;
  const clients: RedisClient[] = [];

  beforeAll(async () => {
    example = await startExample({ ports: "free", quiet: true });
  }, 60_000);
  afterAll(async () => {
    for (const client of clients) client.close();
    await example.stop();
  });

  const connect = async (port: number): Promise<RedisClient> => {
    const client = await RedisClient.connect(port);
    clients.push(client);
    return client;
  };
  /** Port of the server that a client has come to. */
  const portOf = async (client: RedisClient): Promise<number> =>
    Number(/^tcp_port:(\d+)/m.exec(await client.ask("INFO", "server"))?.[1]);
  const until = async (check: () => Promise<boolean>, what: string): Promise<void> => {
    for (let look = 0; look < 400; look++) {
      if (await check().catch(() => false)) return;
      await Bun.sleep(25);
    }
    throw new Error(`never happened: ${what}`);
  };

  test("what is written to the primary is read from replicas", async () => {
    const writer = await connect(example.writesPort);
    expect(await writer.ask("SET", "greeting", "hello")).toBe("OK");
    const reader = await connect(example.readsPort);
    await until(async () => (await reader.ask("GET", "greeting")) === "hello", "the value at the replica");
    expect(await reader.ask("SET", "greeting", "no").catch((error: Error) => error.message)).toStartWith("READONLY");
  });

  test("readers are shared evenly, by the connections that are open", async () => {
    const readers = await Promise.all(Array.from({ length: 20 }, () => connect(example.readsPort)));
    const ports = await Promise.all(readers.map(portOf));
    const { "replica-1": first, "replica-2": second } = example.ports;
    const [ones, twos] = [first, second].map((port) => ports.filter((used) => used === port).length);
    expect((ones ?? 0) + (twos ?? 0)).toBe(20);
    expect(Math.abs((ones ?? 0) - (twos ?? 0))).toBeLessThanOrEqual(3);
  });

  test("a replica dies: its clients are told, connect again, and are served by the other", async () => {
    const readers = await Promise.all(Array.from({ length: 10 }, () => connect(example.readsPort)));
    const ports = await Promise.all(readers.map(portOf));
    await example.kill("replica-1");
    const lost = readers.filter((_, index) => ports[index] === example.ports["replica-1"]);
    expect(lost.length).toBeGreaterThan(0);
    for (const reader of lost) await until(async () => !reader.isOpen, "its clients are told");
    // Whoever comes at once is sent on before the health check knows.
    for (let count = 0; count < 10; count++) {
      expect(await portOf(await connect(example.readsPort))).toBe(example.ports["replica-2"]);
    }
    for (const reader of readers.filter((one) => !lost.includes(one))) expect(await reader.ask("PING")).toBe("PONG");
  });

  test("without replicas the primary serves reads; with one back, it does not", async () => {
    await example.kill("replica-2");
    await until(async () => (await portOf(await connect(example.readsPort))) === example.ports.primary, "the primary");
    await example.start("replica-1");
    await until(
      async () => (await portOf(await connect(example.readsPort))) === example.ports["replica-1"],
      "the replica is back",
    );
  });
}
