/** What every algorithm promises, stated once; a new line in the registry is tested without a new test. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { mix32 } from "../base/hash.ts";
import { seededRandom } from "../base/random.ts";
import { buildBalancer } from "./build.ts";
import type { Balancer } from "./definition.ts";
import { type AlgorithmName, algorithms } from "./registry.ts";
import { balanceSchema } from "./schema.ts";

class TestEndpoint {
  readonly id: string;
  weight: number;
  eligible = true;
  active = 0;

  constructor(index: number, weight = 1) {
    this.id = `10.0.${index >> 8}.${index & 255}:80`;
    this.weight = weight;
  }
}

function pool(count: number, weights: readonly number[] = []): TestEndpoint[] {
  return Array.from({ length: count }, (_, index) => new TestEndpoint(index, weights[index] ?? 1));
}

function build(algorithm: AlgorithmName, endpoints: readonly TestEndpoint[], seed = 1): Balancer<TestEndpoint> {
  return buildBalancer(balanceSchema.parse(algorithm), endpoints, {
    random: seededRandom(seed),
    clock: new FakeClock(),
  });
}

/** Algorithms that by their nature do not do something. */
const SKIP: Partial<Record<string, readonly AlgorithmName[]>> = {
  // `first` fills one endpoint up before it uses the next.
  spread: ["first"],
  // Hashing modulo n moves nearly everything; that is what the others are for.
  consistent: ["ip-hash"],
  // Its slots are the places in the list: that is its definition.
  unordered: ["ip-hash"],
};

function testUnless(skip: string, name: AlgorithmName, title: string, run: () => void): void {
  if (SKIP[skip]?.includes(name) !== true) test(title, run);
}

const key = (index: number): number => mix32(index + 1);

for (const [name, definition] of Object.entries(algorithms) as [AlgorithmName, (typeof algorithms)[AlgorithmName]][]) {
  describe(name, () => {
    test("an empty pool has nothing to pick", () => {
      expect(build(name, []).pick(1, undefined)).toBeUndefined();
    });

    test("never one that is not eligible, has no weight, or was tried", () => {
      const endpoints = pool(5);
      endpoints[1]!.eligible = false;
      endpoints[2]!.weight = 0;
      const balancer = build(name, endpoints);
      const tried = [endpoints[3]!];
      for (let index = 0; index < 500; index++) {
        expect([endpoints[0], endpoints[4]]).toContain(balancer.pick(key(index), tried));
      }
    });

    test("finds the last one that is left", () => {
      for (const count of [1, 2, 7, 100]) {
        const endpoints = pool(count);
        const balancer = build(name, endpoints);
        for (let left = 0; left < count; left += Math.max(1, count >> 2)) {
          const tried = endpoints.filter((_, index) => index !== left);
          for (let index = 0; index < 20; index++) expect(balancer.pick(key(index), tried)).toBe(endpoints[left]);
        }
        expect(balancer.pick(1, endpoints)).toBeUndefined();
      }
    });

    test("the same seed gives the same picks", () => {
      const picks = () => {
        const balancer = build(name, pool(10), 7);
        return Array.from({ length: 100 }, (_, index) => balancer.pick(key(index), undefined)?.id);
      };
      expect(picks()).toEqual(picks());
    });

    testUnless("spread", name, "equal endpoints get equal shares", () => {
      const counts = share(name, pool(4), 8_000);
      for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(500);
    });

    if (definition.weighted) {
      test("shares follow weights", () => {
        const counts = share(name, pool(3, [1, 2, 5]), 16_000);
        [2_000, 4_000, 10_000].forEach((expected, index) => {
          expect(Math.abs((counts[index] as number) - expected)).toBeLessThan(expected * 0.25);
        });
      });
    }

    if (definition.keyed) {
      test("the same key goes to the same endpoint", () => {
        const balancer = build(name, pool(10));
        for (let index = 0; index < 50; index++)
          expect(balancer.pick(key(index), undefined)).toBe(balancer.pick(key(index), undefined)!);
      });

      testUnless("unordered", name, "the order of the endpoints does not matter, also while one is out", () => {
        const weights = [1, 3, 1, 2, 1, 1, 5, 1, 1];
        const listed = pool(weights.length, weights);
        const turned = [...listed.slice(4).reverse(), ...listed.slice(0, 4)];
        const [one, other] = [build(name, listed), build(name, turned)];
        for (const out of [undefined, listed[3]!, listed[8]!]) {
          if (out !== undefined) out.eligible = false;
          for (let index = 0; index < 2_000; index++)
            expect(one.pick(key(index), undefined)?.id).toBe(other.pick(key(index), undefined)!.id);
        }
      });

      testUnless("consistent", name, "only the keys of what leaves move", () => {
        const endpoints = pool(20);
        const before = build(name, endpoints);
        const after = build(name, endpoints.slice(1));
        let moved = 0;
        const keys = 4_000;
        for (let index = 0; index < keys; index++) {
          const [was, is] = [before.pick(key(index), undefined), after.pick(key(index), undefined)];
          if (was !== endpoints[0] && was !== is) moved++;
        }
        expect(moved / keys).toBeLessThan(0.04);
      });

      test("while one is out the keys of the others stay", () => {
        const endpoints = pool(20);
        const balancer = build(name, endpoints);
        const before = Array.from({ length: 1_000 }, (_, index) => balancer.pick(key(index), undefined));
        endpoints[3]!.eligible = false;
        before.forEach((was, index) => {
          if (was !== endpoints[3]) expect(balancer.pick(key(index), undefined)).toBe(was);
        });
      });
    }
  });
}

function share(name: AlgorithmName, endpoints: readonly TestEndpoint[], picks: number): number[] {
  const balancer = build(name, endpoints);
  const counts = endpoints.map(() => 0);
  // A window of exchanges in flight, so that the load-aware algorithms have something to look at.
  const inFlight: TestEndpoint[] = [];
  for (let index = 0; index < picks; index++) {
    const picked = balancer.pick(key(index), undefined) as TestEndpoint;
    const at = endpoints.indexOf(picked);
    counts[at] = (counts[at] as number) + 1;
    picked.active++;
    inFlight.push(picked);
    if (inFlight.length < 64) continue;
    const done = inFlight.shift() as TestEndpoint;
    done.active--;
    balancer.onRelease?.(done, 10, false);
  }
  return counts;
}
