/** What README.md promises: before, during and after the sale. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { CAPACITY, count, percentile, SALE, sendCrowd, USUAL, type Visit } from "./crowd.ts";
import { type RunningExample, startExample } from "./start.ts";

const TIMEOUT_MS = 60_000;
/** `queue.timeout` of those who look and of those who buy. */
const QUEUE_MS = { browse: 1_000, buy: 5_000 } as const;
/** A busy machine may be slow; one that queues without bounds would take far longer. */
const SLACK = 4;

let example: RunningExample;

beforeAll(async () => {
  example = await startExample({ ports: "free", quiet: true });
}, TIMEOUT_MS);
afterAll(() => example.stop(), TIMEOUT_MS);

const problems = (visits: readonly Visit[]): string[] => visits.flatMap(({ problem }) => (problem ? [problem] : []));

function expectAllServed(visits: readonly Visit[]): void {
  expect(visits.length).toBeGreaterThan(USUAL.browse);
  expect(problems(visits)).toEqual([]);
  expect(visits.filter(({ outcome }) => outcome !== "served")).toEqual([]);
}

function expectBounded(visits: readonly Visit[]): void {
  for (const kind of ["browse", "buy"] as const) {
    const times = visits.flatMap((visit) => (visit.kind === kind && visit.outcome === "served" ? [visit.tookMs] : []));
    expect(Math.max(...times)).toBeLessThan(SLACK * QUEUE_MS[kind]);
  }
}

test(
  "on other days everybody is served",
  async () => {
    const visits = await sendCrowd(example.port, USUAL, 2);
    expectAllServed(visits);
    expectBounded(visits);
  },
  TIMEOUT_MS,
);

test(
  "in the sale the shop does what it can, the others get the waiting room, and whoever buys is served",
  async () => {
    const seconds = 3;
    const visits = await sendCrowd(example.port, SALE, seconds);
    expect(problems(visits)).toEqual([]);
    const shown = count(visits, "browse", "served");
    const waiting = count(visits, "browse", "waiting room");
    console.log(
      `of ${shown + waiting} who looked ${shown} saw the shop, half of them within ${percentile(visits, 50).toFixed(0)} ms; ${waiting} the waiting room`,
    );
    expect(shown + waiting).toBe(visits.filter(({ kind }) => kind === "browse").length);
    expect(shown).toBeGreaterThan(0.5 * CAPACITY.browse * seconds);
    expect(waiting).toBeGreaterThan(0);
    expect(count(visits, "buy", "served")).toBe(visits.filter(({ kind }) => kind === "buy").length);
    expectBounded(visits);
  },
  TIMEOUT_MS,
);

test(
  "when the waiting room is down as well, evenkeel asks for a moment itself",
  async () => {
    await example.crashWaitingRoom();
    const visits = await sendCrowd(example.port, SALE, 1);
    expect(problems(visits)).toEqual([]);
    expect(count(visits, "browse", "served")).toBeGreaterThan(0);
    expect(count(visits, "browse", "refused")).toBeGreaterThan(0);
    expect(count(visits, "browse", "waiting room")).toBe(0);
    expect(count(visits, "buy", "served")).toBe(visits.filter(({ kind }) => kind === "buy").length);
  },
  TIMEOUT_MS,
);

test(
  "after it everybody is served again, and nothing is left waiting",
  async () => {
    const visits = await sendCrowd(example.port, USUAL, 2);
    expectAllServed(visits);
    expectBounded(visits);
    const metrics = await (await fetch(`http://127.0.0.1:${example.metricsPort}/metrics`)).text();
    const waiting = [...metrics.matchAll(/^evenkeel_pool_waiting\{.*\} (\d+)$/gm)].map(([, value]) => Number(value));
    expect(waiting).toEqual([0, 0, 0]);
  },
  TIMEOUT_MS,
);
