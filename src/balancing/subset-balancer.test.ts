import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { seededRandom } from "../base/random.ts";
import { buildBalancer } from "./build.ts";
import type { Balancer } from "./definition.ts";
import type { AlgorithmName } from "./registry.ts";
import { balanceSchema } from "./schema.ts";
import { inOrderOfSubset } from "./subset.ts";
import { balanceSubset } from "./subset-balancer.ts";

class Member {
  readonly id: string;
  weight = 1;
  available = true;
  full = false;
  active = 0;

  constructor(index: number) {
    this.id = `10.0.0.${index}:80`;
  }

  get eligible(): boolean {
    return this.available && !this.full;
  }
}

const client = { number: 2, clients: 12 };

function setUp(algorithm: AlgorithmName = "round-robin", count = 60, size = 8) {
  const clock = new FakeClock();
  const endpoints = Array.from({ length: count }, (_, index) => new Member(index));
  const builtOver: number[] = [];
  const balancer = balanceSubset(endpoints, {
    size,
    client,
    clock,
    build(members): Balancer<Member> {
      builtOver.push(members.length);
      return buildBalancer(balanceSchema.parse(algorithm), members, { random: seededRandom(1), clock });
    },
  });
  const order = inOrderOfSubset(endpoints, client);
  /** Which places of the order are picked by so many requests. */
  const picked = (requests = 500, tried?: readonly Member[]): number[] => {
    const seen = new Set<number>();
    for (let index = 0; index < requests; index++) {
      const endpoint = balancer.pick(0, tried);
      if (endpoint !== undefined) seen.add(order.indexOf(endpoint));
    }
    return [...seen].sort((a, b) => a - b);
  };
  return { clock, endpoints, balancer, order, builtOver, picked };
}

const upTo = (end: number, start = 0): number[] => Array.from({ length: end - start }, (_, index) => start + index);

describe("the subset", () => {
  test("is all that is used while half of it is there", () => {
    const { order, picked, clock } = setUp();
    expect(picked()).toEqual(upTo(8));
    for (const member of order.slice(0, 4)) member.available = false;
    clock.advance(100);
    expect(picked()).toEqual(upTo(8, 4));
  });

  test("is twice as large while less than half of it is there, and again, and small again after that", () => {
    const { order, picked, clock, builtOver } = setUp();
    for (const member of order.slice(0, 5)) member.available = false;
    clock.advance(100);
    expect(picked()).toEqual(upTo(16, 5));
    for (const member of order.slice(0, 15)) member.available = false;
    clock.advance(100);
    expect(picked()).toEqual(upTo(32, 15));
    for (const member of order) member.available = true;
    clock.advance(100);
    expect(picked()).toEqual(upTo(8));
    expect(builtOver).toEqual([8, 16, 32]);
  });

  test("the last one of all is found", () => {
    const { order, picked } = setUp();
    for (const member of order.slice(0, 59)) member.available = false;
    expect(picked()).toEqual([59]);
    order[59]!.available = false;
    expect(picked()).toEqual([]);
  });

  test("between two looks at who is there, no request goes without an endpoint", () => {
    const { order, picked } = setUp();
    picked();
    for (const member of order.slice(0, 8)) member.available = false;
    expect(picked()).toEqual(upTo(60, 8));
  });

  test("those that are full, or were tried, are no reason for another subset: only who finds no place goes beyond", () => {
    const { order, picked, clock } = setUp();
    for (const member of order.slice(0, 7)) member.full = true;
    clock.advance(100);
    expect(picked()).toEqual([7]);
    expect(picked(500, [order[7]!])).toEqual(upTo(60, 8));
    order[7]!.full = true;
    expect(picked()).toEqual(upTo(60, 8));
  });

  test("one without weight is not there", () => {
    const { order, picked, clock } = setUp("weighted-round-robin");
    for (const member of order.slice(0, 5)) member.weight = 0;
    clock.advance(100);
    expect(picked()).toEqual(upTo(16, 5));
  });

  test("a pool that is not larger is used as it is", () => {
    const { picked, builtOver, endpoints } = setUp("round-robin", 5);
    expect(picked()).toEqual(upTo(5));
    for (const member of endpoints) member.available = false;
    expect(picked()).toEqual([]);
    expect(builtOver).toEqual([5]);
  });

  test("an empty one has nothing to pick", () =>
    expect(setUp("round-robin", 0).balancer.pick(0, undefined)).toBeUndefined());

  test("keeps the order of the pool, for algorithms that go by it", () => {
    const { endpoints, order, balancer } = setUp("first");
    const firstOfPool = endpoints.find((member) => order.slice(0, 8).includes(member));
    expect(balancer.pick(0, undefined)).toBe(firstOfPool);
  });
});

describe("what the algorithm is told", () => {
  test("latencies, where it wants to know them", () => {
    const { balancer, order, clock } = setUp("least-response-time");
    for (const [index, member] of order.slice(0, 8).entries())
      balancer.onRelease?.(member, index === 3 ? 5 : 500, false);
    clock.advance(1);
    expect(balancer.pick(0, undefined)).toBe(order[3]!);
    expect(setUp("round-robin").balancer.onRelease).toBeUndefined();
  });

  test("weights", () => {
    const { balancer, order, picked } = setUp("weighted-round-robin");
    order[0]!.weight = 100;
    balancer.onWeightChanged?.(order[0]!);
    expect(picked(50)).toContain(0);
    const hits = upTo(50).filter(() => balancer.pick(0, undefined) === order[0]);
    expect(hits.length).toBeGreaterThan(40);
  });
});
