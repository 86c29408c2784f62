import { expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { EventLog } from "./event-log.ts";

test("a watcher is told, and one that was away gets what it has missed", () => {
  const events = new EventLog(new FakeClock());
  const seen: string[] = [];
  const stop = events.watch(({ reason }) => void seen.push(reason));
  events.publish("endpoint.down", { pool: "app", endpoint: "a", reason: "one" });
  const { lastId } = events;
  stop();
  events.publish("endpoint.up", { pool: "app", endpoint: "b", reason: "two" });
  expect(seen).toEqual(["one"]);
  expect(events.since(lastId).events.map(({ type, reason }) => [type, reason])).toEqual([["endpoint.up", "two"]]);
  expect(events.since(lastId).missed).toBeFalse();
  expect(events.since(0).events).toHaveLength(2);
  expect(events.since(0).missed).toBeFalse();
  expect(events.of("app", "a").map(({ reason }) => reason)).toEqual(["one"]);
});

test("a thousand are kept; who asks for more is told that there were more", () => {
  const events = new EventLog(new FakeClock());
  const first = events.lastId + 1;
  for (let count = 0; count < 1_200; count++) events.publish("endpoint.up", { reason: String(count) });
  expect(events.since(0).events).toHaveLength(1_000);
  expect(events.since(0).missed).toBeTrue();
  expect(events.since(first).missed).toBeTrue();
  expect(events.since(first + 199).missed).toBeFalse();
});

test("numbers of a later run are above those of an earlier one", () => {
  const earlier = new EventLog(new FakeClock(1_000_000));
  earlier.publish("worker.ended", { reason: "" });
  const later = new EventLog(new FakeClock(1_000_100));
  later.publish("worker.ended", { reason: "" });
  expect(later.lastId).toBeGreaterThan(earlier.lastId);
  expect(later.since(earlier.lastId).missed).toBeTrue();
});
