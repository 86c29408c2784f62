/** Published vectors and closed formulas: nginx's smooth round robin, ketama, Maglev, bounded loads, power of two choices, peak EWMA. */
import { expect, test } from "bun:test";
import { slotsOf } from "../../src/balancing/bounded-load.ts";
import { MovingLatency } from "../../src/balancing/latency.ts";
import {
  maglev,
  peakEwma,
  powerOfTwoChoices,
  rendezvous,
  ringHash,
  weightedRoundRobin,
} from "../../src/balancing/library.ts";
import { algorithms } from "../../src/balancing/registry.ts";
import { ketamaPoints } from "../../src/balancing/ring-hash.ts";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import ketama from "./ketama.json";

const named = (weights: readonly number[]) =>
  weights.map((weight, index) => ({ id: "abcdefgh"[index] as string, weight }));

for (const [weights, sequence] of [
  [[5, 1, 1], "aabacaa"],
  [[4, 2, 1], "abacaba"],
  [[3, 2, 1], "abacba"],
  [[5, 3, 2], "abcaabacba"],
  [[2, 1], "aba"],
] as const) {
  test(`smooth weighted round robin, weights ${weights.join(",")}: ${sequence}`, () => {
    const balancer = weightedRoundRobin(named(weights));
    const picks = Array.from({ length: sequence.length * 3 }, () => balancer.pick()?.id).join("");
    expect(picks).toBe(sequence.repeat(3));
  });
}

test("ketama: points and picks as computed independently (ketama.py)", () => {
  for (const [index, id] of ketama.ids.entries())
    expect(ketamaPoints(id, 4)).toEqual(ketama.firstPoints[index] as number[]);
  const endpoints = ketama.ids.map((id) => ({ id }));
  const ring = ringHash(endpoints);
  const picks = Array.from({ length: 1_000 }, (_, key) =>
    endpoints.indexOf(ring.pick(Math.imul(key, 2_654_435_761) >>> 0)!),
  );
  expect(picks).toEqual(ketama.picks);
});

/** Standard deviation of the shares of the circle over their mean. */
function ringDeviation(points: number): number {
  const count = 100;
  const ring = ringHash(
    Array.from({ length: count }, (_, index) => ({ id: `endpoint-${index}` })),
    { points },
  );
  const shares = new Map<string, number>();
  const keys = 200_000;
  for (let key = 0; key < keys; key++) {
    const id = ring.pick(key)?.id ?? "";
    shares.set(id, (shares.get(id) ?? 0) + 1);
  }
  const mean = keys / count;
  const variance = [...shares.values()].reduce((sum, share) => sum + (share - mean) ** 2, 0) / count;
  return Math.sqrt(variance) / mean;
}

test("the ring is as even as theory says: deviation about 1/sqrt(points)", () => {
  expect(ringDeviation(10)).toBeWithin(0.25, 0.39);
  expect(ringDeviation(100)).toBeWithin(0.08, 0.125);
  expect(ringDeviation(160)).toBeWithin(0.064, 0.099);
});

function maglevShares(weights: readonly number[]): number[] {
  const endpoints = weights.map((weight, index) => ({ id: `m-${index}`, weight, eligible: true, active: 0 }));
  const clock = new FakeClock();
  const balancer = algorithms.maglev.build(endpoints, { tableSize: 65_537 }, { random: seededRandom(1), clock });
  // Keys that reach every slot of the table about equally often say how large the shares are.
  const counts = endpoints.map(() => 0);
  for (let key = 0; key < 655_370; key++) {
    const at = endpoints.indexOf(balancer.pick(key, undefined) as (typeof endpoints)[number]);
    counts[at] = (counts[at] as number) + 1;
  }
  return counts.map((count) => count / 655_370);
}

test("Maglev is almost perfectly even, and weights are kept", () => {
  for (const share of maglevShares([1, 1, 1])) expect(share).toBeWithin(0.33, 0.337);
  const [one, two] = maglevShares([1, 2]) as [number, number];
  expect(one).toBeWithin(0.33, 0.337);
  expect(two).toBeWithin(0.663, 0.67);
});

test("Maglev moves few keys that need not move", () => {
  const endpoints = Array.from({ length: 100 }, (_, index) => ({ id: `m-${index}` }));
  const [before, after] = [maglev(endpoints), maglev(endpoints.slice(1))];
  let moved = 0;
  for (let key = 0; key < 65_537; key++) {
    const was = before.pick(key);
    if (was !== endpoints[0] && was !== after.pick(key)) moved++;
  }
  expect(moved / 65_537).toBeLessThan(0.02);
});

test("rendezvous keeps weights exactly in the mean", () => {
  const endpoints = [
    { id: "a", weight: 1 },
    { id: "b", weight: 3 },
  ];
  const balancer = rendezvous(endpoints);
  let b = 0;
  for (let key = 0; key < 40_000; key++) if (balancer.pick(key)?.id === "b") b++;
  expect(b / 40_000).toBeWithin(0.74, 0.76);
});

test("bounded load: HAProxy's slots", () => {
  const busy = (total: number) =>
    Array.from({ length: 10 }, (_, index) => ({
      id: `${index}`,
      weight: 1,
      eligible: true,
      active: index === 0 ? total : 0,
    }));
  const slots = (total: number) =>
    busy(total)
      .map((_, index) => slotsOf(busy(total), index, 125))
      .sort((a, b) => a - b);
  expect(slots(9)).toEqual([1, 1, 1, 1, 1, 1, 1, 2, 2, 2]);
  expect(slots(99)).toEqual([12, 12, 12, 12, 12, 13, 13, 13, 13, 13]);
});

test("bounded load: no endpoint over 125% of the average", () => {
  const endpoints = Array.from({ length: 10 }, (_, index) => ({ id: `e${index}`, active: 0 }));
  const ring = ringHash(endpoints, { boundedLoad: 125 });
  for (let key = 0; key < 1_000; key++) ring.pick(key * 7)!.active++;
  expect(Math.max(...endpoints.map(({ active }) => active))).toBeLessThanOrEqual(126);
});

test("peak EWMA: jumps up, comes down by e^-t", () => {
  const latency = new MovingLatency(10_000, true, 0);
  latency.observe(100, 0);
  latency.observe(10, 1_000);
  expect(latency.read(1_000)).toBeCloseTo(91.4354, 3);
  expect(latency.read(11_000)).toBeCloseTo(33.637, 2);
  latency.observe(200, 11_000);
  expect(latency.read(11_000)).toBe(200);
});

test("peak EWMA keeps away from an endpoint that has turned slow", () => {
  const clock = new FakeClock();
  const endpoints = [{ id: "a" }, { id: "b" }, { id: "c" }];
  const balancer = peakEwma(endpoints, {}, { clock, random: seededRandom(3) });
  for (const endpoint of endpoints) balancer.release(endpoint, endpoint.id === "a" ? 2_000 : 10);
  const picks = Array.from({ length: 300 }, () => balancer.pick()?.id);
  expect(picks.filter((id) => id === "a").length).toBe(0);
});

/** Queues of mean service time 1 under Poisson arrivals; the mean time in the system. */
function meanSojourn(
  load: number,
  count: number,
  pick: (queues: { id: string; active: number }[]) => { active: number; id: string },
): number {
  const random = seededRandom(42);
  const exponential = (mean: number): number => -mean * Math.log(1 - random.next());
  const queues = Array.from({ length: count }, (_, index) => ({ id: String(index), active: 0 }));
  const departures = queues.map(() => Number.POSITIVE_INFINITY);
  let now = 0;
  let arrival = 0;
  let area = 0;
  let arrived = 0;
  const total = 300_000;
  const warm = 60_000;
  let inSystem = 0;
  let measuredSince = 0;
  while (arrived < total) {
    let next = 0;
    for (let index = 1; index < count; index++)
      if ((departures[index] as number) < (departures[next] as number)) next = index;
    const at = Math.min(arrival, departures[next] as number);
    if (arrived > warm) area += inSystem * (at - now);
    else measuredSince = at;
    now = at;
    if (arrival <= (departures[next] as number)) {
      const queue = pick(queues);
      const index = Number(queue.id);
      if (++queue.active === 1) departures[index] = now + exponential(1);
      inSystem++;
      arrived++;
      arrival = now + exponential(1 / (load * count));
    } else {
      const queue = queues[next] as { active: number };
      inSystem--;
      departures[next] = --queue.active > 0 ? now + exponential(1) : Number.POSITIVE_INFINITY;
    }
  }
  // Little's law: time in the system is the mean number in it over the rate of arrivals.
  return area / (now - measuredSince) / (load * count);
}

for (const [load, expected] of [
  [0.5, 1.2673],
  [0.7, 1.6202],
  [0.9, 2.6454],
] as const) {
  test(`power of two choices at load ${load}: mean time in the system ${expected}`, () => {
    let picker: ReturnType<typeof powerOfTwoChoices> | undefined;
    const mean = meanSojourn(load, 100, (queues) => {
      picker ??= powerOfTwoChoices(queues, {}, { random: seededRandom(9) }) as never;
      return picker?.pick() as never;
    });
    expect(Math.abs(mean / expected - 1)).toBeLessThan(0.04);
  });
}
