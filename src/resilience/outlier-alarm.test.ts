import { expect, test } from "bun:test";
import { localRegion } from "../base/shared-memory.ts";
import type { Outcome } from "./outcome.ts";
import { OutlierAlarm } from "./outlier-alarm.ts";
import { OutlierCounters } from "./outlier-counters.ts";

const bounds = { "server-errors": 3, "gateway-errors": 0, "connect-failures": 2, timeouts: 4 };

function alarms(outcomes: readonly Outcome[]): number[] {
  const results = new OutlierCounters(localRegion(OutlierCounters.bytes(8)), 8);
  const calls: number[] = [];
  let count = 0;
  const alarm = new OutlierAlarm(results, bounds, (endpoint) => void calls.push(endpoint * 100 + count));
  for (const outcome of outcomes) {
    count++;
    alarm.record(5, outcome, 1);
  }
  return calls;
}

test("calls at the last failure of a streak, once", () => {
  expect(alarms(["server-error", "server-error", "server-error", "server-error"])).toEqual([503]);
  expect(alarms(["connect-failure", "connect-failure"])).toEqual([502]);
  expect(alarms(["timeout", "timeout", "timeout", "timeout"])).toEqual([504]);
});

test("a success ends the streak", () => {
  expect(alarms(["server-error", "server-error", "success", "server-error", "server-error"])).toEqual([]);
});

test("a kind that nobody is judged by calls nobody, but counts among its wider kind", () => {
  expect(alarms(["gateway-error", "gateway-error"])).toEqual([]);
  expect(alarms(["gateway-error", "gateway-error", "gateway-error"])).toEqual([503]);
});
