import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { RedisClient } from "../redis/redis-client.ts";
import type { RedisConnection } from "../redis/redis-node.ts";
import { redisSchema } from "../redis/schema.ts";
import { RedisStore } from "./redis-store.ts";

type Answer = (command: string, args: readonly string[]) => unknown;
const KEY = "0123456789abcdef0123456789abcdef";
const never = new Promise<never>(() => {});

/** Servers by URL, each a function; what was sent to them, in order. */
function world(servers: Record<string, Answer>) {
  const clock = new FakeClock();
  const sent: string[] = [];
  const changes: string[] = [];
  const open: string[] = [];
  const connect = (url: string): RedisConnection => ({
    onclose: null,
    connect: async () => {
      if (servers[url] === undefined) throw new Error("Connection refused");
      open.push(url);
    },
    send: async (command, args) => {
      sent.push(`${new URL(url).port} ${command} ${args.join(" ")}`);
      return await servers[url]?.(command, args);
    },
    close: () => void open.splice(open.indexOf(url), open.includes(url) ? 1 : 0),
  });
  const config = redisSchema("evenkeel:session").parse({
    url: Object.keys(servers)[0] ?? "redis://a:1",
    failures: 2,
    wait: "1s",
  });
  const onChange = (server: string, reachable: boolean) => void changes.push(`${server} ${reachable}`);
  const store = new RedisStore(new RedisClient({ config, clock, timers: clock, connect, onChange }), config.prefix);
  const results: (number | undefined)[] = [];
  const find = async (): Promise<boolean> => {
    const asked = store.find(KEY, 1_000, (tag) => void results.push(tag)) !== undefined;
    await settle();
    return asked;
  };
  return { clock, sent, changes, open, store, results, find, servers };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

const redirect = (message: string) => {
  throw new Error(message);
};

test("asks, prolongs, and tells the tag", async () => {
  const { find, results, sent, store } = world({ "redis://a:1": (command) => (command === "GETEX" ? "ff" : "OK") });
  await find();
  expect(results).toEqual([255]);
  store.put(KEY, 2 ** 48 - 1, 5_000);
  await settle();
  const name = "evenkeel:session:{01}23456789abcdef0123456789abcdef";
  expect(sent).toEqual([`1 GETEX ${name} PX 1000`, `1 SET ${name} ffffffffffff PX 5000`]);
});

test.each<[unknown, number | undefined]>([
  [null, -1],
  ["0", 0],
  ["zz", undefined],
  ["", undefined],
  ["1234567890abc", undefined],
  [7, undefined],
])("the answer %p is the tag %p", async (answer, tag) => {
  const { find, results } = world({ "redis://a:1": () => answer });
  await find();
  expect(results).toEqual([tag]);
});

describe("in a cluster", () => {
  test("MOVED is followed, and remembered", async () => {
    const { find, results, sent } = world({
      "redis://a:1": () => redirect("MOVED 3999 b:2"),
      "redis://b:2": () => "7",
    });
    await find();
    await find();
    expect(results).toEqual([7, 7]);
    expect(sent.map((line) => line.slice(0, 7))).toEqual(["1 GETEX", "2 GETEX", "2 GETEX"]);
  });
  test("ASK is followed once, with leave to ask", async () => {
    const { find, results, sent } = world({
      "redis://a:1": () => redirect("ASK 3999 b:2"),
      "redis://b:2": (command) => (command === "ASKING" ? "OK" : "7"),
    });
    await find();
    expect(results).toEqual([7]);
    expect(sent.map((line) => line.split(" ", 2).join(" "))).toEqual(["1 GETEX", "2 ASKING", "2 GETEX"]);
  });
  test("nodes that send to each other for ever are no answer", async () => {
    const { find, results, sent } = world({
      "redis://a:1": () => redirect("MOVED 1 b:2"),
      "redis://b:2": () => redirect("MOVED 1 a:1"),
    });
    await find();
    expect(results).toEqual([undefined]);
    expect(sent.length).toBe(4);
  });
  test("an owner that is gone is forgotten: the others know who has its keys now", async () => {
    let owner = "b:2";
    const { find, results, servers, clock } = world({
      "redis://a:1": () => redirect(`MOVED 1 ${owner}`),
      "redis://b:2": () => "7",
      "redis://c:3": () => "8",
    });
    await find();
    servers["redis://b:2"] = () => never;
    await find();
    clock.advance(50);
    owner = "c:3";
    await find();
    expect(results).toEqual([7, undefined, 8]);
  });
});

describe("a server that does not answer", () => {
  test("is waited for until the timeout, then left alone, then tried by one", async () => {
    const { find, results, clock, changes, servers, open } = world({ "redis://a:1": () => never });
    for (let round = 0; round < 2; round++) {
      expect(await find()).toBeTrue();
      clock.advance(49);
      expect(results.length).toBe(round);
      clock.advance(1);
      await settle();
    }
    expect(results).toEqual([undefined, undefined]);
    expect([await find(), changes, open]).toEqual([false, ["a:1 false"], []]);
    clock.advance(1_000);
    servers["redis://a:1"] = () => "7";
    expect([await find(), await find()]).toEqual([true, true]);
    expect(results).toEqual([undefined, undefined, 7, 7]);
    expect(changes).toEqual(["a:1 false", "a:1 true"]);
    expect(clock.waiting).toBe(0);
  });
  test("nor takes connections: no answer at once", async () => {
    const { find, results, servers } = world({ "redis://a:1": () => "7" });
    delete servers["redis://a:1"];
    await find();
    expect(results).toEqual([undefined]);
  });
  test("is not waited for by those who have left", async () => {
    const { store, results, clock } = world({ "redis://a:1": () => never });
    store.find(KEY, 1_000, (tag) => void results.push(tag))?.();
    clock.advance(1_000);
    expect(results).toEqual([]);
  });
  test("an answer that comes too late is told to nobody", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const { find, results, clock } = world({ "redis://a:1": () => promise });
    await find();
    clock.advance(50);
    resolve("7");
    await settle();
    expect(results).toEqual([undefined]);
  });
});

test("closing ends what is under way, and nothing begins after it", async () => {
  const { find, store, open } = world({ "redis://a:1": () => "7" });
  await find();
  store.close();
  expect(open).toEqual([]);
  expect(await find()).toBeFalse();
});
