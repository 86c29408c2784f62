import { expect, test } from "bun:test";
import {
  failurePercentageOutliers,
  latencyOutliers,
  successRateBound,
  successRateOutliers,
} from "./outlier-comparison.ts";

const usual = {
  successRateDeviations: 1.9,
  successRateMinimumHosts: 5,
  successRateMinimumVolume: 100,
  failurePercentage: 0,
  failurePercentageMinimumHosts: 5,
  failurePercentageMinimumVolume: 50,
  latencyFactor: 0,
  latencyFloorMs: 100,
  latencyMinimumHosts: 5,
  latencyMinimumVolume: 50,
};

test("success rate: mean - 1.9 standard deviations, to published figures", () => {
  expect(successRateBound([0.99, 0.98, 0.99, 1, 0.6], 1.9)).toBeCloseTo(0.6154, 4);
  expect(successRateBound([...Array.from({ length: 9 }, () => 1), 0.5], 1.9)).toBeCloseTo(0.665, 4);
});

test("says nothing with too few endpoints or too few requests", () => {
  const candidate = (endpoint: number, total: number, failures: number) => ({
    endpoint,
    total,
    failures,
    latencyMs: 1,
  });
  const some = (count: number, total: number) =>
    Array.from({ length: count }, (_, endpoint) => candidate(endpoint, total, endpoint === 0 ? total : 0));
  expect(successRateOutliers(some(10, 99), usual)).toEqual([]);
  expect(successRateOutliers(some(4, 100), usual)).toEqual([]);
  expect(successRateOutliers(some(5, 100), usual).map(({ endpoint }) => endpoint)).toEqual([0]);
  expect(successRateOutliers(some(5, 100), { ...usual, successRateDeviations: 0 })).toEqual([]);
  expect(successRateOutliers([], { ...usual, successRateMinimumHosts: 0 })).toEqual([]);
});

test("failure percentage: from the bound on, the worst first", () => {
  const failed = [84, 85, 100, 0, 90].map((failures, endpoint) => ({ endpoint, total: 100, failures, latencyMs: 1 }));
  const options = { ...usual, failurePercentage: 85 };
  expect(failurePercentageOutliers(failed, options).map(({ endpoint }) => endpoint)).toEqual([2, 4, 1]);
  expect(failurePercentageOutliers(failed.slice(1), options)).toEqual([]);
  expect(failurePercentageOutliers(failed, usual)).toEqual([]);
});

test("latency: a multiple of the median, above a floor", () => {
  const slow = (...latencies: number[]) =>
    latencies.map((latencyMs, endpoint) => ({ endpoint, total: 100, failures: 0, latencyMs }));
  const options = { ...usual, latencyFactor: 3 };
  expect(latencyOutliers(slow(50, 50, 60, 40, 151), options)).toEqual([{ endpoint: 4, measured: 151, bound: 150 }]);
  expect(latencyOutliers(slow(5, 5, 6, 4, 99), options)).toEqual([]);
  expect(latencyOutliers(slow(5, 5, 6, 0, 900), options)).toEqual([]);
  expect(latencyOutliers(slow(50, 50, 60, 40, 151), usual)).toEqual([]);
});
