import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { localRegion } from "../base/shared-memory.ts";
import { RETRY_BUDGET_CELLS, RetryBudget } from "./retry-budget.ts";
import { RetryTokenBudget } from "./retry-token-budget.ts";
import { LocalUsageCounters, SharedUsageCounters } from "./usage-counters.ts";

const usual = { percent: 20, minimum: 3 };

function budget(options = usual): RetryBudget {
  return new RetryBudget(new LocalUsageCounters(RETRY_BUDGET_CELLS), 0, options);
}

function startRetries(of: RetryBudget, tries: number): number {
  let started = 0;
  for (let count = 0; count < tries; count++) if (of.tryStartRetry()) started++;
  return started;
}

describe("a budget over what is active", () => {
  test("allows 20 retries at 100 active, and 3 at 10", () => {
    for (const [active, allowed] of [
      [100, 20],
      [10, 3],
      [0, 3],
      [24, 4],
    ] as const) {
      const retries = budget();
      for (let count = 0; count < active; count++) retries.exchangeStarted();
      expect(startRetries(retries, 1_000)).toBe(allowed);
      expect([retries.active, retries.retries]).toEqual([active, allowed]);
    }
  });

  test("shrinks with the load: those under way may end, new ones wait for room", () => {
    const retries = budget();
    for (let count = 0; count < 100; count++) retries.exchangeStarted();
    expect(startRetries(retries, 20)).toBe(20);
    for (let count = 0; count < 50; count++) retries.exchangeEnded();
    expect(retries.allowed).toBe(10);
    for (let count = 0; count < 10; count++) {
      expect(retries.tryStartRetry()).toBeFalse();
      retries.retryEnded();
    }
    expect(retries.tryStartRetry()).toBeFalse();
    retries.retryEnded();
    expect(retries.tryStartRetry()).toBeTrue();
  });

  test("with nothing allowed nothing is retried", () => {
    const retries = budget({ percent: 0, minimum: 0 });
    retries.exchangeStarted();
    expect(retries.tryStartRetry()).toBeFalse();
  });

  test("is one budget for all workers, and a dead worker's part is given back", () => {
    const region = localRegion(SharedUsageCounters.bytes(RETRY_BUDGET_CELLS, 3));
    const counters = [0, 1, 2].map((worker) => new SharedUsageCounters(region, RETRY_BUDGET_CELLS, 3, worker));
    const workers = counters.map((own) => new RetryBudget(own, 0, usual));
    for (let count = 0; count < 30; count++) workers[count % 3]!.exchangeStarted();
    let started = 0;
    for (let count = 0; count < 30; count++) if (workers[count % 3]!.tryStartRetry()) started++;
    expect(started).toBe(6);
    counters[0]!.releaseWorker(2);
    expect([workers[1]!.active, workers[1]!.retries]).toEqual([20, 4]);
    expect(workers[1]!.tryStartRetry()).toBeFalse();
  });

  test("property: retries under way never exceed what was allowed when the last one began", () => {
    const step = fc.constantFrom("begin", "end", "retry", "retried");
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), fc.nat(100), fc.nat(5), (steps, percent, minimum) => {
        const retries = budget({ percent, minimum });
        for (const what of steps) {
          if (what === "begin") retries.exchangeStarted();
          else if (what === "end" && retries.active > 0) retries.exchangeEnded();
          else if (what === "retried" && retries.retries > 0) retries.retryEnded();
          else if (what === "retry" && retries.tryStartRetry()) {
            expect(retries.retries).toBeLessThanOrEqual(retries.allowed);
          }
        }
        expect(retries.retries).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe("a budget over time", () => {
  const options = { percent: 20, minimumPerSecond: 10, ttlMs: 10_000 };

  function spend(tokens: RetryTokenBudget, nowMs: number): number {
    let spent = 0;
    while (spent < 10_000 && tokens.tryStartRetry(nowMs)) spent++;
    return spent;
  }

  test("1000 exchanges in 10 s earn 200 retries beside the reserve of 100", () => {
    const tokens = new RetryTokenBudget(options, 0);
    for (let count = 0; count < 1_000; count++) tokens.exchangeStarted(count * 9);
    expect(tokens.available(9_000)).toBe(300);
    expect(spend(tokens, 9_000)).toBe(300);
  });

  test("no exchanges leave the reserve", () => {
    expect(spend(new RetryTokenBudget(options, 0), 5)).toBe(100);
  });

  test("what was earned and what was spent are forgotten", () => {
    const tokens = new RetryTokenBudget(options, 0);
    for (let count = 0; count < 1_000; count++) tokens.exchangeStarted(0);
    expect(tokens.available(9_999)).toBe(300);
    expect(tokens.available(10_000)).toBe(100);
    expect(spend(tokens, 10_000)).toBe(100);
    expect(tokens.tryStartRetry(19_999)).toBeFalse();
    expect(spend(tokens, 20_000)).toBe(100);
  });

  test("survives a long silence and a clock that stands still", () => {
    const tokens = new RetryTokenBudget({ percent: 0, minimumPerSecond: 1, ttlMs: 10_000 }, 123_456);
    tokens.exchangeStarted(123_456);
    expect(spend(tokens, 123_456)).toBe(10);
    expect(spend(tokens, 1e12)).toBe(10);
  });
});
