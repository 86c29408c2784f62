import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { Discovery, type ResolvedEndpoint, type Resolver, type ServiceRecord } from "./discovery.ts";
import type { EndpointConfig } from "./schema.ts";

/** A name server with answers that tests change, and the queries it got. */
class FakeResolver implements Resolver {
  hosts: Record<string, string[] | Error> = {};
  srv: Record<string, ServiceRecord[] | Error> = {};
  ttlSeconds = 30;
  queries = 0;

  async addresses(name: string) {
    this.queries++;
    return { addresses: found(this.hosts[name]), ttlSeconds: this.ttlSeconds };
  }

  async services(name: string) {
    this.queries++;
    return { services: found(this.srv[name]), ttlSeconds: this.ttlSeconds };
  }
}

function found<Value>(answer: Value | Error | undefined): Value {
  if (answer === undefined) throw new Error("ENOTFOUND");
  if (answer instanceof Error) throw answer;
  return answer;
}

function setUp() {
  const clock = new FakeClock();
  const resolver = new FakeResolver();
  const changes: string[][] = [];
  const warnings: string[] = [];
  const discovery = new Discovery({
    resolver,
    timers: clock,
    onEndpoints: (_pool, endpoints) => void changes.push(ids(endpoints)),
    onWarning: (_message, fields) => void warnings.push(`${fields["name"]}: ${fields["addresses"]}`),
  });
  return { clock, resolver, discovery, changes, warnings };
}

const ids = (endpoints: readonly ResolvedEndpoint[]) => endpoints.map(({ id }) => id);
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const name = (address: string): EndpointConfig => ({ address, weight: 3, tier: 1, maxConnections: 9, state: "ready" });

describe("discovery", () => {
  test("addresses are there at once, without asking anybody", () => {
    const { discovery, resolver } = setUp();
    discovery.setPool("app", [name("10.0.0.1:80"), name("[::1]:81")]);
    expect(discovery.endpoints("app")).toEqual([
      {
        id: "10.0.0.1:80",
        host: "10.0.0.1",
        port: 80,
        name: "10.0.0.1",
        weight: 3,
        tier: 1,
        maxConnections: 9,
        state: "ready",
      },
      { id: "[::1]:81", host: "::1", port: 81, name: "::1", weight: 3, tier: 1, maxConnections: 9, state: "ready" },
    ]);
    expect(resolver.queries).toBe(0);
  });

  test("a name becomes all its addresses, and is asked again when its records expire", async () => {
    const { discovery, resolver, clock, changes } = setUp();
    resolver.hosts["app"] = ["10.0.0.2", "10.0.0.1"];
    discovery.setPool("app", [name("app:80")]);
    await settle();
    expect(ids(discovery.endpoints("app"))).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
    resolver.hosts["app"] = ["10.0.0.1", "10.0.0.3"];
    clock.advance(29_999);
    expect(resolver.queries).toBe(1);
    clock.advance(1);
    await settle();
    expect(changes).toEqual([
      ["10.0.0.1:80", "10.0.0.2:80"],
      ["10.0.0.1:80", "10.0.0.3:80"],
    ]);
  });

  test("answers in another order are no change", async () => {
    const { discovery, resolver, clock, changes } = setUp();
    resolver.hosts["app"] = ["10.0.0.1", "10.0.0.2"];
    discovery.setPool("app", [name("app:80")]);
    await settle();
    resolver.hosts["app"] = ["10.0.0.2", "10.0.0.1"];
    clock.advance(30_000);
    await settle();
    expect(changes).toHaveLength(1);
  });

  test("a lifetime of nothing is at least a second, one of a day at most five minutes", async () => {
    const { discovery, resolver, clock } = setUp();
    resolver.hosts["app"] = ["10.0.0.1"];
    resolver.ttlSeconds = 0;
    discovery.setPool("app", [name("app:80")]);
    await settle();
    clock.advance(999);
    expect(resolver.queries).toBe(1);
    resolver.ttlSeconds = 86_400;
    clock.advance(1);
    await settle();
    clock.advance(299_999);
    expect(resolver.queries).toBe(2);
    clock.advance(1);
    expect(resolver.queries).toBe(3);
  });

  test("a name that stops resolving keeps its addresses, and is tried more and more slowly", async () => {
    const { discovery, resolver, clock, warnings } = setUp();
    resolver.hosts["app"] = ["10.0.0.1"];
    discovery.setPool("app", [name("app:80")]);
    await settle();
    resolver.hosts["app"] = new Error("SERVFAIL");
    const queriesAt: number[] = [];
    for (let second = 0; second < 120; second++) {
      const before = resolver.queries;
      clock.advance(1_000);
      await settle();
      if (resolver.queries > before) queriesAt.push(second + 1);
    }
    expect(queriesAt).toEqual([30, 31, 33, 37, 45, 61, 91]);
    expect(ids(discovery.endpoints("app"))).toEqual(["10.0.0.1:80"]);
    expect(warnings[0]).toBe("app:80: 1 kept from before");
  });

  test("a name that does not resolve at the start is a warning, and is there as soon as it does", async () => {
    const { discovery, resolver, clock, changes, warnings } = setUp();
    discovery.setPool("app", [name("app:80"), name("10.0.0.9:80")]);
    await discovery.whenSettled(5_000);
    expect(ids(discovery.endpoints("app"))).toEqual(["10.0.0.9:80"]);
    expect(warnings).toEqual(["app:80: none yet"]);
    resolver.hosts["app"] = ["10.0.0.1"];
    clock.advance(1_000);
    await settle();
    expect(changes).toEqual([["10.0.0.1:80", "10.0.0.9:80"]]);
  });

  test("an empty answer counts as none", async () => {
    const { discovery, resolver, warnings } = setUp();
    resolver.hosts["app"] = [];
    discovery.setPool("app", [name("app:80")]);
    await settle();
    expect(warnings).toHaveLength(1);
  });

  test("services bring their ports and weights; priorities become tiers", async () => {
    const { discovery, resolver } = setUp();
    resolver.hosts["b"] = ["10.0.0.2"];
    resolver.srv["_http._tcp.app"] = [
      { host: "10.0.0.1", port: 8_001, priority: 20, weight: 5 },
      { host: "b", port: 8_002, priority: 10, weight: 0 },
    ];
    discovery.setPool("app", [{ srv: "_http._tcp.app", weight: 1, tier: 0, maxConnections: 0, state: "ready" }]);
    await settle();
    expect(discovery.endpoints("app").map(({ id, weight, tier }) => [id, weight, tier])).toEqual([
      ["10.0.0.1:8001", 5, 1],
      ["10.0.0.2:8002", 1, 0],
    ]);
  });

  test("waiting for names ends after its time", async () => {
    const { discovery, clock } = setUp();
    const silent = new Discovery({
      resolver: { addresses: () => new Promise(() => {}), services: () => new Promise(() => {}) },
      timers: clock,
      onEndpoints: () => {},
      onWarning: () => {},
    });
    silent.setPool("app", [name("app:80")]);
    const waiting = silent.whenSettled(2_000);
    clock.advance(2_000);
    await waiting;
    discovery.close();
  });

  test("a pool that is removed is asked for no more", async () => {
    const { discovery, resolver, clock } = setUp();
    resolver.hosts["app"] = ["10.0.0.1"];
    discovery.setPool("app", [name("app:80")]);
    await settle();
    discovery.removePool("app");
    clock.advance(1_000_000);
    expect(resolver.queries).toBe(1);
    expect(clock.waiting).toBe(0);
  });

  test("the same address twice is one endpoint", async () => {
    const { discovery, resolver } = setUp();
    resolver.hosts["a"] = ["10.0.0.1"];
    discovery.setPool("app", [name("a:80"), name("10.0.0.1:80")]);
    await settle();
    expect(ids(discovery.endpoints("app"))).toEqual(["10.0.0.1:80"]);
  });
});
