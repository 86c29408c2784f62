import { describe, expect, test } from "bun:test";
import { z } from "zod";
import * as options from "./options.ts";
import { retryConditions, retrySchema } from "./retry-schema.ts";
import * as schemas from "./schema.ts";

/** The settings that an empty object stands for; fails where the policy is off. */
function on<Output>(schema: z.ZodType<Output>): Exclude<Output, false> {
  const config = schema.parse({});
  if (config === false) throw new Error("an empty object turns the policy on");
  return config as Exclude<Output, false>;
}

const byName = new Map<string, z.ZodType>(Object.entries({ ...schemas, retrySchema }));

test("what is on and what is off when nothing is said", () => {
  const off = [...byName].filter(([, schema]) => schema.safeParse(undefined).data === false).map(([name]) => name);
  expect(off.sort()).toEqual([
    "adaptiveConcurrencySchema",
    "circuitBreakerSchema",
    "codelSchema",
    "hedgingSchema",
    "loadSheddingSchema",
    "outlierDetectionSchema",
    "slowStartSchema",
  ]);
});

describe("defaults", () => {
  test("outlier detection", () => {
    expect(options.outlierOptions(on(schemas.outlierDetectionSchema), 50)).toMatchObject({
      enforcing: true,
      consecutive: { "server-errors": 5, "gateway-errors": 5, "connect-failures": 5, timeouts: 5 },
      intervalMs: 10_000,
      baseEjectionMs: 30_000,
      maxEjectionMs: 300_000,
      maxEjectedPercent: 50,
      minAvailablePercent: 50,
      successRateDeviations: 1.9,
      successRateMinimumHosts: 5,
      successRateMinimumVolume: 100,
      failurePercentage: 0,
      latencyFactor: 0,
    });
  });

  test("comparisons that are turned on by an empty object", () => {
    const config = schemas.outlierDetectionSchema.parse({ failurePercentage: {}, latency: {}, successRate: false });
    if (config === false) throw new Error("unexpected");
    expect(options.outlierOptions(config, 0)).toMatchObject({
      successRateDeviations: 0,
      failurePercentage: 85,
      failurePercentageMinimumVolume: 50,
      latencyFactor: 3,
      latencyFloorMs: 100,
    });
  });

  test("circuit breaker, retry, hedging", () => {
    expect(options.circuitBreakerOptions(on(schemas.circuitBreakerSchema))).toEqual({
      consecutiveFailures: 5,
      failureRatePercent: 50,
      slowRatePercent: 50,
      slowMs: 3_000,
      windowMs: 10_000,
      minimumVolume: 20,
      openMs: 30_000,
      trials: 3,
    });
    const retry = retrySchema.parse({});
    expect(options.backoffOptions(retry.backoff)).toEqual({ baseMs: 0, maxMs: 250 });
    expect([retry.attempts, retry.budget.percent, retry.budget.minimum]).toEqual([1, 20, 3]);
    expect(retryConditions(retry.on)).toEqual({
      conditions: ["connect-failure", "refused-stream", "reset"],
      statuses: [],
      grpcStatuses: [],
    });
    expect(retryConditions(["timeout", 503, "grpc-cancelled", "grpc-unavailable", "grpc-unauthenticated"])).toEqual({
      conditions: ["timeout"],
      statuses: [503],
      grpcStatuses: [1, 14, 16],
    });
    expect(options.hedgeOptions(on(schemas.hedgingSchema))).toMatchObject({ quantilePercent: 95, minimumVolume: 100 });
  });

  test("slow start, tiers, overload", () => {
    expect(options.slowStartOptions(on(schemas.slowStartSchema))).toEqual({
      windowMs: 30_000,
      aggression: 1,
      minPercent: 10,
    });
    expect(options.slowStartOptions(false).windowMs).toBe(0);
    expect(schemas.panicSchema.parse({})).toEqual({ threshold: 50, failOpen: true });
    expect(schemas.panicSchema.parse(undefined)).toBeUndefined();
    expect(options.adaptiveConcurrencyOptions(on(schemas.adaptiveConcurrencySchema))).toMatchObject({
      initialLimit: 20,
      queueSize: 4,
      windowMs: 1_000,
    });
    expect(options.codelOptions(on(schemas.codelSchema))).toEqual({ targetMs: 5, intervalMs: 100 });
    expect(options.loadSheddingOptions(on(schemas.loadSheddingSchema))).toMatchObject({
      delayFromMs: 100,
      delayFullMs: 500,
      memoryFullBytes: 0,
    });
  });
});

describe("mistakes", () => {
  const wrong: [name: string, input: Record<string, unknown>][] = [
    ["outlierDetectionSchema", { baseEjection: "60s", maxEjection: "30s" }],
    ["outlierDetectionSchema", { latency: { factr: 2 } }],
    ["circuitBreakerSchema", { trials: 0 }],
    ["concurrencyLimitsSchema", { active: -1 }],
    ["retrySchema", { on: [200] }],
    ["retrySchema", { on: ["5xx"] }],
    ["retrySchema", { methods: ["post"] }],
    ["hedgingSchema", { minDelay: "2s", maxDelay: "1s" }],
    ["slowStartSchema", { aggression: 0 }],
    ["panicSchema", { threshold: 101 }],
    ["adaptiveConcurrencySchema", { initialLimit: 10 }],
    ["codelSchema", { target: "200ms" }],
    ["loadSheddingSchema", { delayFull: "50ms" }],
    ["loadSheddingSchema", { memoryFrom: "2GiB", memoryFull: "1GiB" }],
  ];
  for (const [name, input] of wrong) {
    test(`${name} refuses ${JSON.stringify(input)}`, () => {
      expect(byName.get(name)?.safeParse(input).success).toBeFalse();
    });
  }
});

test("every key has a description", () => {
  const bare: string[] = [];
  const visit = (path: string, node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    const schema = node as Record<string, unknown>;
    for (const [key, value] of Object.entries((schema["properties"] ?? {}) as Record<string, object>)) {
      if (!("description" in value)) bare.push(`${path}.${key}`);
      visit(`${path}.${key}`, value);
    }
    for (const part of (schema["anyOf"] ?? []) as object[]) visit(path, part);
  };
  for (const [name, schema] of byName) {
    visit(name, z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
  }
  expect(bare).toEqual([]);
});
