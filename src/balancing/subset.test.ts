import { describe, expect, test } from "bun:test";
import { inOrderOfSubset, subsetClient, subsetSize } from "./subset.ts";

interface Named {
  readonly id: string;
}

const pool = (count: number): Named[] => Array.from({ length: count }, (_, index) => ({ id: `10.0.0.${index}:80` }));

function subsetsOf(endpoints: readonly Named[], size: number, clients: number): ReadonlySet<string>[] {
  return Array.from({ length: clients }, (_, number) => {
    const client = { number, clients };
    const members = inOrderOfSubset(endpoints, client).slice(0, subsetSize(endpoints.length, size, client));
    return new Set(members.map(({ id }) => id));
  });
}

function clientsOfEach(endpoints: readonly Named[], subsets: readonly ReadonlySet<string>[]): number[] {
  return endpoints.map(({ id }) => subsets.filter((subset) => subset.has(id)).length);
}

const minus = (a: ReadonlySet<string>, b: ReadonlySet<string>): string[] => [...a].filter((id) => !b.has(id));
const sizes = [1, 3, 20];
const clientCounts = [1, 2, 3, 7, 16, 100, 333];
const endpointCounts = [1, 2, 19, 20, 21, 100, 257, 1_000];

describe("every combination of endpoints, size and clients", () => {
  const each = (check: (endpoints: Named[], size: number, clients: number) => void): void => {
    for (const count of endpointCounts)
      for (const size of sizes) for (const clients of clientCounts) check(pool(count), size, clients);
  };

  test("all endpoints have equally many clients, to within one, and none has none", () => {
    each((endpoints, size, clients) => {
      const counts = clientsOfEach(endpoints, subsetsOf(endpoints, size, clients));
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      expect(Math.min(...counts)).toBeGreaterThanOrEqual(1);
    });
  });

  test("all subsets are of one size: what was asked for, or what leaves out none", () => {
    each((endpoints, size, clients) => {
      const expected = Math.min(endpoints.length, Math.max(size, Math.ceil(endpoints.length / clients)));
      for (const subset of subsetsOf(endpoints, size, clients)) expect(subset.size).toBe(expected);
    });
  });
});

test("an endpoint that comes or goes changes one member of a subset at most, and about a third of the subsets", () => {
  const all = pool(400);
  for (const clients of [16, 100]) {
    const before = subsetsOf(all, 30, clients);
    let changed = 0;
    for (let gone = 0; gone < 400; gone += 20) {
      const left = all.filter((_, index) => index !== gone);
      for (const [number, after] of subsetsOf(left, 30, clients).entries()) {
        const lost = minus(before[number]!, after).length;
        expect(minus(after, before[number]!)).toHaveLength(lost);
        expect(lost).toBeLessThanOrEqual(1);
        changed += lost;
      }
    }
    expect(changed / clients / 20).toBeLessThan(0.45);
  }
});

test("a subset that has to give one up keeps the others, in their order", () => {
  const all = pool(100);
  const first = { number: 0, clients: 4 };
  const [gone, ...kept] = inOrderOfSubset(all, first).slice(0, 25);
  const after = inOrderOfSubset(
    all.filter(({ id }) => id !== gone!.id),
    first,
  ).slice(0, 25);
  expect(after.slice(0, 24).map(({ id }) => id)).toEqual(kept.map(({ id }) => id));
});

test("the order in which endpoints are written does not matter", () => {
  const client = { number: 5, clients: 9 };
  expect(inOrderOfSubset(pool(50).reverse(), client)).toEqual(inOrderOfSubset(pool(50), client));
});

test("the same everywhere and always: balancers that differ in this would not share the endpoints evenly", () => {
  const ids = inOrderOfSubset(pool(12), { number: 1, clients: 3 }).map(({ id }) => id);
  expect(ids.slice(0, 4)).toEqual(["10.0.0.0:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.10:80"]);
});

test("the workers of all instances have numbers of their own, those of one instance far apart", () => {
  const numbers = [0, 1, 2].flatMap((instance) =>
    [0, 1, 2, 3].map((worker) => subsetClient(worker, 4, instance, 3).number),
  );
  expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, index) => index));
  expect(numbers.slice(0, 4)).toEqual([0, 3, 6, 9]);
  expect(subsetClient(0, 4, 0, 3).clients).toBe(12);
});

test("when one instance of several is gone, every endpoint still has a client", () => {
  const endpoints = pool(240);
  const clients = Array.from({ length: 4 }, (_, instance) =>
    [0, 1].map((worker) => subsetClient(worker, 2, instance, 4)),
  );
  const subsets = clients
    .slice(1)
    .flat()
    .map(
      (client) =>
        new Set(
          inOrderOfSubset(endpoints, client)
            .slice(0, 60)
            .map(({ id }) => id),
        ),
    );
  expect(Math.min(...clientsOfEach(endpoints, subsets))).toBeGreaterThanOrEqual(1);
});
