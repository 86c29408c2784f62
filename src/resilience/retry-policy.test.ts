import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type FailedAttempt, type RetryCondition, RetryPolicy, type RetryPolicyOptions } from "./retry-policy.ts";

const usual: RetryPolicyOptions = {
  attempts: 1,
  conditions: ["connect-failure", "reset", "refused-stream"],
  statuses: [503],
  grpcStatuses: [14],
  methods: ["GET", "HEAD", "PUT"],
};
const get: FailedAttempt = {
  condition: "reset",
  status: 0,
  grpcStatus: -1,
  method: "GET",
  idempotencyKey: false,
  sent: true,
  bodyReplayable: true,
  answerBegun: false,
  tries: 1,
  nextMs: 100,
  deadlineMs: 60_000,
};
const post: FailedAttempt = { ...get, method: "POST" };

function decide(failed: FailedAttempt, options: Partial<RetryPolicyOptions> = {}): string {
  return new RetryPolicy({ ...usual, ...options }).decide(failed);
}

describe("what has failed", () => {
  test("is retried when it is listed", () => {
    for (const condition of ["connect-failure", "reset", "refused-stream"] as const) {
      expect(decide({ ...get, condition })).toBe("retry");
    }
    expect(decide({ ...get, condition: "timeout" })).toBe("condition-not-listed");
    expect(decide({ ...get, condition: "timeout" }, { conditions: ["timeout"] })).toBe("retry");
  });

  test("statuses are retried one by one", () => {
    expect(decide({ ...get, condition: "status", status: 503 })).toBe("retry");
    for (const status of [200, 404, 500, 502, 504, 599, 999]) {
      expect(decide({ ...get, condition: "status", status })).toBe("condition-not-listed");
    }
    const policy = new RetryPolicy(usual);
    expect([policy.wants(503, -1), policy.wants(200, 14), policy.wants(200, -1), policy.wants(1_000, 99)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test("gRPC statuses too, although every call is a POST", () => {
    expect(decide({ ...post, condition: "grpc-status", status: 200, grpcStatus: 14 })).toBe("retry");
    expect(decide({ ...post, condition: "grpc-status", status: 200, grpcStatus: 13 })).toBe("condition-not-listed");
  });
});

describe("what may be repeated", () => {
  test("a hedge needs no failure, only a request that may have two effects", () => {
    expect(decide({ ...get, condition: "slow" }, { conditions: [] })).toBe("retry");
    expect(decide({ ...post, condition: "slow" })).toBe("not-idempotent");
    expect(decide({ ...get, condition: "slow", bodyReplayable: false })).toBe("body-not-kept");
  });

  test("a POST that may have had an effect is not", () => {
    expect(decide(post)).toBe("not-idempotent");
    expect(decide({ ...post, condition: "status", status: 503 })).toBe("not-idempotent");
  });

  test("a POST that had none is", () => {
    expect(decide({ ...post, sent: false })).toBe("retry");
    expect(decide({ ...post, condition: "connect-failure" })).toBe("retry");
    expect(decide({ ...post, condition: "refused-stream" })).toBe("retry");
  });

  test("a POST with an Idempotency-Key is, and one that the user vouches for", () => {
    expect(decide({ ...post, idempotencyKey: true })).toBe("retry");
    expect(decide(post, { methods: ["POST"] })).toBe("retry");
  });

  test("nothing whose body is gone or whose answer has begun", () => {
    expect(decide({ ...get, bodyReplayable: false })).toBe("body-not-kept");
    expect(decide({ ...get, answerBegun: true })).toBe("answer-begun");
  });
});

describe("how often and how long", () => {
  test("as many further tries as are set", () => {
    expect(decide({ ...get, tries: 2 })).toBe("no-attempts-left");
    expect(decide({ ...get, tries: 3 }, { attempts: 3 })).toBe("retry");
    expect(decide({ ...get, tries: 4 }, { attempts: 3 })).toBe("no-attempts-left");
    expect(decide(get, { attempts: 0 })).toBe("no-attempts-left");
  });

  test("not when the deadline passes before it would begin", () => {
    expect(decide({ ...get, nextMs: 60_000 })).toBe("no-time-left");
    expect(decide({ ...get, nextMs: 59_999 })).toBe("retry");
    expect(decide({ ...get, nextMs: 1e12, deadlineMs: Number.POSITIVE_INFINITY })).toBe("retry");
  });
});

test("property: without anyone's word for it, nothing takes effect twice", () => {
  const condition = fc.constantFrom<RetryCondition>(
    "connect-failure",
    "reset",
    "refused-stream",
    "timeout",
    "bad-answer",
    "status",
  );
  const attempt = fc.record({
    condition,
    status: fc.constantFrom(0, 200, 500, 502, 503, 504),
    grpcStatus: fc.constant(-1),
    method: fc.constantFrom("GET", "POST"),
    idempotencyKey: fc.boolean(),
    sent: fc.boolean(),
    bodyReplayable: fc.boolean(),
    answerBegun: fc.boolean(),
    tries: fc.integer({ min: 1, max: 5 }),
    nextMs: fc.nat(100),
    deadlineMs: fc.nat(100),
  });
  const options = {
    ...usual,
    attempts: 3,
    conditions: ["connect-failure", "reset", "refused-stream", "timeout", "bad-answer"],
    statuses: [500, 502, 503, 504],
  } as const;
  fc.assert(
    fc.property(attempt, (failed) => {
      if (decide(failed, options) !== "retry") return;
      const neverArrived =
        !failed.sent || failed.condition === "connect-failure" || failed.condition === "refused-stream";
      expect(neverArrived || failed.method === "GET" || failed.idempotencyKey).toBeTrue();
      expect(failed.answerBegun).toBeFalse();
      expect(failed.tries).toBeLessThanOrEqual(3);
      expect(failed.nextMs).toBeLessThan(failed.deadlineMs);
    }),
  );
});
