import { describe, expect, test } from "bun:test";
import { localRegion } from "../base/shared-memory.ts";
import { METRICS } from "./metrics-catalog.ts";
import { ENDPOINT, LISTENER, MetricsTable, MetricsWriter, POOL, ROUTE } from "./metrics-table.ts";
import { type MetricsInput, renderMetrics } from "./prometheus.ts";

function table(workers: number): MetricsTable {
  return new MetricsTable(localRegion(MetricsTable.bytes(workers)), workers);
}

/** Everything there is, counted once or more. */
function full(): MetricsInput {
  const metrics = table(2);
  for (const worker of [0, 1]) {
    const writer = metrics.writer(worker);
    writer.add(MetricsWriter.rowStart("listener", 0) + LISTENER.requests, 5);
    writer.add(MetricsWriter.rowStart("listener", 0) + LISTENER.datagramsIn, 1);
    writer.add(MetricsWriter.rowStart("route", 0) + ROUTE.statusClass + 2, 5);
    writer.observe(MetricsWriter.rowStart("route", 0) + ROUTE.duration, 3 + worker * 100_000);
    writer.add(MetricsWriter.rowStart("pool", 0) + POOL.waiting, 1);
    writer.add(MetricsWriter.rowStart("pool", 0) + POOL.sessionsKept, 1);
    writer.observe(MetricsWriter.rowStart("endpoint", 0) + ENDPOINT.firstByte, 0.2);
    writer.countReason("E_NO_ENDPOINT");
  }
  return {
    table: metrics,
    listeners: { web: 0 },
    routes: { api: 0, unused: 1 },
    pools: { app: 0 },
    endpoints: [
      {
        pool: "app",
        id: '10.0.0.1:80"\\\n',
        row: 0,
        status: "healthy",
        state: "ready",
        inFlight: 3,
        elsewhere: 1,
        eligible: true,
        weight: 2,
        ejected: true,
        degraded: false,
        held: true,
        agent: { isHeard: true, weightPercent: 50 },
        circuit: "half-open",
      },
    ],
    certificates: [{ listener: "web", names: "a.test b.test +1", key: "ecdsa", notAfterMs: 1_800_000_000_000 }],
    ejections: [{ pool: "app", reason: "timeouts", count: 2 }],
    circuits: { app: "open" },
    panics: [{ pool: "app", panics: true }],
    blocked: [{ pool: "app", isBlocked: true }],
    sharing: { isHearing: true, balancers: 2 },
    version: "1.2.3",
    generation: 4,
    lastReloadGood: false,
    workers: [{ memoryBytes: 1_000 }, { memoryBytes: 2_000 }],
    restarts: 1,
  };
}

describe("exposition", () => {
  const text = renderMetrics(full());
  const lines = text.trimEnd().split("\n");
  const samples = lines.filter((line) => !line.startsWith("#"));

  test("every line is of the text format", () => {
    for (const line of samples) {
      expect(line).toMatch(/^[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?\d+(\.\d+)?(e[+-]\d+)?$/);
    }
  });

  test("holds every metric of the catalogue, and no other", () => {
    const described = lines.flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? []);
    expect([...described].sort()).toEqual(Object.keys(METRICS).sort());
    expect(new Set(described).size).toBe(described.length);
  });

  test("uses the labels of the catalogue", () => {
    for (const line of samples) {
      const [, name = "", labels = ""] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? [];
      const metric =
        METRICS[name.replace(/_(bucket|sum|count)$/, "") as keyof typeof METRICS] ??
        METRICS[name as keyof typeof METRICS];
      const used = [...labels.matchAll(/([a-z]+)="/g)].map(([, label]) => label).filter((label) => label !== "le");
      expect(new Set<unknown>(used)).toEqual(new Set<unknown>(metric.labels));
    }
  });

  test("sums over workers", () => expect(text).toContain('evenkeel_listener_requests_total{listener="web"} 10'));
  test("escapes labels", () => expect(text).toContain('endpoint="10.0.0.1:80\\"\\\\\\n"'));
  test("buckets of a histogram grow, and end with its count", () => {
    const buckets = samples.flatMap((line) => {
      const found = /^evenkeel_route_request_duration_seconds_bucket\{route="api",le="([^"]+)"\} (\d+)/.exec(line);
      return found === null ? [] : [[found[1], Number(found[2])] as const];
    });
    expect(buckets.at(-1)).toEqual(["+Inf", 2]);
    expect(buckets.find(([bound]) => bound === "0.005")?.[1]).toBe(1);
    expect(buckets.find(([bound]) => bound === "0.0025")?.[1]).toBe(0);
    expect(text).toContain('evenkeel_route_request_duration_seconds_sum{route="api"} 100.006');
  });
  test("routes that nobody used take one line", () =>
    expect(samples.filter((line) => line.includes('route="unused"'))).toHaveLength(1));
});

describe("the table", () => {
  test("a dead worker's gauges are reset, its counters stay", () => {
    const metrics = table(2);
    for (const worker of [0, 1]) {
      metrics.writer(worker).add(MetricsWriter.rowStart("listener", 3) + LISTENER.open, 7);
      metrics.writer(worker).add(MetricsWriter.rowStart("listener", 3) + LISTENER.connections, 9);
    }
    metrics.resetGauges(1);
    expect(metrics.read("listener", 3, LISTENER.open)).toBe(7);
    expect(metrics.read("listener", 3, LISTENER.connections)).toBe(18);
  });

  test("a row that is cleared leaves its neighbours alone", () => {
    const metrics = table(1);
    for (const row of [4, 5, 6]) metrics.writer(0).add(MetricsWriter.rowStart("pool", row) + POOL.refused, 1);
    metrics.clearRow("pool", 5);
    expect([4, 5, 6].map((row) => metrics.read("pool", row, POOL.refused))).toEqual([1, 0, 1]);
  });

  test("durations fall into the bucket whose bound they do not exceed", () => {
    const metrics = table(1);
    const cell = MetricsWriter.rowStart("route", 0) + ROUTE.duration;
    for (const duration of [0, 0.5, 0.6, 30_000, 30_001]) metrics.writer(0).observe(cell, duration);
    expect([0, 1, 14, 15].map((bucket) => metrics.read("route", 0, ROUTE.duration + bucket))).toEqual([2, 1, 1, 1]);
  });
});
