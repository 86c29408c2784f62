import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { chooseShare, planTraffic, type Share, type TierHealth } from "./degradation.ts";

const usual = { overprovisioningPercent: 140, panicPercent: 50 };

function tiers(...healthy: number[]): TierHealth[] {
  return healthy.map((count) => ({ total: 100, healthy: count, degraded: 0 }));
}

describe("published tables", () => {
  const loads: [healthy: number[], percent: number[]][] = [
    [
      [100, 100],
      [100, 0],
    ],
    [
      [72, 100],
      [100, 0],
    ],
    [
      [71, 100],
      [99, 1],
    ],
    [
      [50, 100],
      [70, 30],
    ],
    [
      [25, 100],
      [35, 65],
    ],
    [
      [0, 100],
      [0, 100],
    ],
    [
      [72, 72],
      [100, 0],
    ],
    [
      [71, 71],
      [99, 1],
    ],
    [
      [50, 50],
      [70, 30],
    ],
    [
      [25, 25],
      [50, 50],
    ],
    [
      [5, 65],
      [7, 93],
    ],
    [
      [100, 100, 100],
      [100, 0, 0],
    ],
    [
      [72, 72, 100],
      [100, 0, 0],
    ],
    [
      [71, 71, 100],
      [99, 1, 0],
    ],
    [
      [50, 50, 100],
      [70, 30, 0],
    ],
    [
      [25, 100, 100],
      [35, 65, 0],
    ],
    [
      [25, 25, 100],
      [35, 35, 30],
    ],
    [
      [25, 25, 20],
      [36, 36, 28],
    ],
  ];
  for (const [healthy, percent] of loads) {
    test(`tiers ${healthy.join("/")} percent healthy get ${percent.join("/")}`, () => {
      expect(planTraffic(tiers(...healthy), usual).healthyPercent).toEqual(percent);
    });
  }

  test("panic only when all tiers together cannot carry the load", () => {
    const panics = (...healthy: number[]) => planTraffic(tiers(...healthy), usual).panic;
    expect(panics(0, 100)).toEqual([false, false]);
    expect(panics(25, 100)).toEqual([false, false]);
    expect(panics(50, 60)).toEqual([false, false]);
    expect(panics(25, 25)).toEqual([true, true]);
    expect(panics(5, 65)).toEqual([true, false]);
  });

  test("degraded endpoints take what the healthy ones cannot", () => {
    const plan = (healthy: number, degraded: number) => {
      const { healthyPercent, degradedPercent } = planTraffic([{ total: 100, healthy, degraded }], usual);
      return [healthyPercent[0], degradedPercent[0]];
    };
    expect(plan(100, 0)).toEqual([100, 0]);
    expect(plan(71, 0)).toEqual([100, 0]);
    expect(plan(71, 29)).toEqual([99, 1]);
    expect(plan(25, 65)).toEqual([35, 65]);
    expect(plan(5, 0)).toEqual([100, 0]);
  });
});

describe("at the edge", () => {
  test("one tier keeps all of it and panics below half", () => {
    expect(planTraffic(tiers(50), usual)).toEqual({ healthyPercent: [100], degradedPercent: [0], panic: [false] });
    expect(planTraffic(tiers(49), usual)).toEqual({ healthyPercent: [100], degradedPercent: [0], panic: [true] });
  });

  test("healthy endpoints of the next tier come before degraded ones of the first", () => {
    const [first, second] = [{ total: 10, healthy: 0, degraded: 10 }, ...tiers(100)];
    expect(planTraffic([first!, second!], usual)).toEqual({
      healthyPercent: [0, 100],
      degradedPercent: [0, 0],
      panic: [false, false],
    });
  });

  test("with nothing left, the first tier that has endpoints is tried as it is", () => {
    const none = { total: 0, healthy: 0, degraded: 0 };
    expect(planTraffic([none, ...tiers(0, 0)], usual).healthyPercent).toEqual([0, 100, 0]);
    const closed = planTraffic(tiers(0, 0), { ...usual, panicPercent: 0 });
    expect(closed.healthyPercent).toEqual([0, 0]);
    expect(closed.panic).toEqual([false, false]);
  });

  test("no tiers, no traffic", () => {
    expect(planTraffic([], usual)).toEqual({ healthyPercent: [], degradedPercent: [], panic: [] });
  });
});

describe("a draw", () => {
  function shares(plan: Parameters<typeof chooseShare>[0]): Record<string, number> {
    const share: Share = { tier: 0, endpoints: "healthy" };
    const counts: Record<string, number> = {};
    for (let draw = 0; draw < 100; draw++) {
      chooseShare(plan, draw / 100, share);
      const name = `${share.tier} ${share.endpoints}`;
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  test("falls by the shares", () => {
    expect(shares(planTraffic(tiers(50, 100), usual))).toEqual({ "0 healthy": 70, "1 healthy": 30 });
    expect(shares(planTraffic([{ total: 100, healthy: 25, degraded: 65 }], usual))).toEqual({
      "0 healthy": 35,
      "0 degraded": 65,
    });
    expect(shares(planTraffic(tiers(5, 65), usual))).toEqual({ "0 all": 7, "1 healthy": 93 });
  });

  test("finds nothing when nothing may be tried", () => {
    expect(Object.keys(shares(planTraffic(tiers(0), { ...usual, panicPercent: 0 })))).toEqual(["-1 healthy"]);
  });
});

test("property: shares add up to 100 and no one without endpoints gets any", () => {
  const tier = fc
    .tuple(fc.nat(30), fc.nat(30), fc.nat(30))
    .map(([healthy, degraded, out]) => ({ healthy, degraded, total: healthy + degraded + out }));
  fc.assert(
    fc.property(fc.array(tier, { minLength: 1, maxLength: 6 }), fc.integer({ min: 100, max: 300 }), (all, factor) => {
      const options = { overprovisioningPercent: factor, panicPercent: 50 };
      const plan = planTraffic(all, options);
      const sum = [...plan.healthyPercent, ...plan.degradedPercent].reduce((a, b) => a + b, 0);
      expect(sum).toBe(all.some(({ total }) => total > 0) ? 100 : 0);
      for (const [index, { healthy, degraded, total }] of all.entries()) {
        if (plan.panic[index] !== true && healthy === 0) expect(plan.healthyPercent[index]).toBe(0);
        if (degraded === 0) expect(plan.degradedPercent[index]).toBe(0);
        if (total === 0) expect(plan.panic[index]).toBeFalse();
        expect(plan.healthyPercent[index]).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});
