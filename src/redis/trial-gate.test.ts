import { expect, test } from "bun:test";
import { TrialGate } from "./trial-gate.ts";

test("closes after so many failures in a row, and only then", () => {
  const gate = new TrialGate(3, 1_000);
  expect([gate.failed(0), gate.failed(0)]).toEqual([false, false]);
  expect(gate.succeeded()).toBeFalse();
  expect([gate.failed(0), gate.failed(0), gate.failed(0)]).toEqual([false, false, true]);
  expect(gate.mayTry(999)).toBeFalse();
});

test("lets one request through after the wait, and opens when it succeeds", () => {
  const gate = new TrialGate(1, 1_000);
  gate.failed(0);
  expect([gate.mayTry(1_000), gate.mayTry(1_000)]).toEqual([true, false]);
  expect(gate.succeeded()).toBeTrue();
  expect([gate.mayTry(1_000), gate.mayTry(1_000)]).toEqual([true, true]);
});

test("waits twice as long after each trial that fails, eight times at most", () => {
  const gate = new TrialGate(1, 1_000);
  let nowMs = 0;
  expect(gate.failed(nowMs)).toBeTrue();
  for (const waitMs of [1_000, 2_000, 4_000, 8_000, 8_000]) {
    expect(gate.mayTry(nowMs + waitMs - 1)).toBeFalse();
    nowMs += waitMs;
    expect(gate.mayTry(nowMs)).toBeTrue();
    expect(gate.failed(nowMs)).toBeFalse();
  }
  gate.mayTry(nowMs + 8_000);
  gate.succeeded();
  gate.failed(0);
  expect(gate.mayTry(1_000)).toBeTrue();
});

test("answers that come late do not make the wait longer", () => {
  const gate = new TrialGate(2, 1_000);
  gate.failed(0);
  gate.failed(0);
  for (let late = 0; late < 10; late++) expect(gate.failed(900)).toBeFalse();
  expect(gate.mayTry(1_000)).toBeTrue();
});
