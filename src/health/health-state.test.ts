import { expect, test } from "bun:test";
import { HealthState } from "./health-state.ts";

const thresholds = { unhealthyAfter: 3, healthyAfter: 2 };
const pass = { passed: true, reason: "", latencyMs: 1, atMs: 5 };
const fail = { passed: false, reason: "connection refused", latencyMs: 1, atMs: 7 };

test("one passed check admits a new endpoint", () => {
  const state = new HealthState(0);
  expect(state.status).toBe("checking");
  expect(state.inTransition).toBe(true);
  expect(state.record(pass, thresholds)).toBe(true);
  expect(state.status).toBe("healthy");
  expect(state.reason).toBe("first check passed");
  expect(state.sinceMs).toBe(5);
  expect(state.inTransition).toBe(false);
});

test("a new endpoint that fails says why, and is unhealthy after as many checks as any other", () => {
  const state = new HealthState(0);
  expect(state.record(fail, thresholds)).toBe(false);
  expect(state.reason).toBe("connection refused");
  state.record(fail, thresholds);
  expect(state.record(fail, thresholds)).toBe(true);
  expect(state.status).toBe("unhealthy");
  expect(state.reason).toBe("3 checks failed: connection refused");
});

test("single failures do not take an endpoint out, nor single passes bring it back", () => {
  const state = new HealthState(0);
  state.record(pass, thresholds);
  for (const result of [fail, fail, pass, fail, fail, pass]) expect(state.record(result, thresholds)).toBe(false);
  state.record(fail, thresholds);
  expect(state.inTransition).toBe(true);
  state.record(fail, thresholds);
  expect(state.record(fail, thresholds)).toBe(true);
  expect(state.record(pass, thresholds)).toBe(false);
  expect(state.record(fail, thresholds)).toBe(false);
  expect(state.record(pass, thresholds)).toBe(false);
  expect(state.record(pass, thresholds)).toBe(true);
  expect(state.reason).toBe("2 checks passed");
});

test("the history is bounded", () => {
  const state = new HealthState(0);
  for (let index = 0; index < 100; index++) state.record(pass, thresholds);
  expect(state.history.length).toBe(20);
});

test("an endpoint that says that it is degraded is believed at once, and so when it says otherwise", () => {
  const state = new HealthState(0);
  const spared = { passed: true, degraded: true, reason: "degraded: status 429", latencyMs: 1, atMs: 9 };
  expect(state.record(spared, thresholds)).toBeTrue();
  expect([state.status, state.reason]).toEqual(["degraded", "degraded: status 429"]);
  expect(state.record(spared, thresholds)).toBeFalse();
  expect(state.record(pass, thresholds)).toBeTrue();
  expect([state.status, state.reason]).toEqual(["healthy", "degraded no longer"]);
  expect(state.record({ ...spared, atMs: 11 }, thresholds)).toBeTrue();
  expect([state.status, state.sinceMs, state.inTransition]).toEqual(["degraded", 11, false]);
});

test("from degraded it goes down, and from down to degraded, after as many checks as from and to healthy", () => {
  const state = new HealthState(0);
  const spared = { passed: true, degraded: true, reason: "degraded: status 429", latencyMs: 1, atMs: 9 };
  state.record(spared, thresholds);
  expect([fail, fail, fail].map((result) => state.record(result, thresholds))).toEqual([false, false, true]);
  expect(state.status).toBe("unhealthy");
  expect([spared, spared].map((result) => state.record(result, thresholds))).toEqual([false, true]);
  expect([state.status, state.reason]).toEqual(["degraded", "degraded: status 429"]);
});
