/** May an attempt that failed be tried again? Answers with the reason why not, in the order that explains most. */
import type { FailureKind } from "../base/errors.ts";

/**
 * `connect-failure`: no connection; `reset`: it broke before an answer; `refused-stream`: the endpoint said that it did
 * not look at the request (HTTP/2 REFUSED_STREAM, GOAWAY; RFC 9113 section 8.7); `timeout`: no answer in time;
 * `bad-answer`: one that cannot be understood; `status` and `grpc-status`: an answer that asks for it; `slow`: nothing has
 * failed yet, but a hedge is to run beside the attempt.
 */
export type RetryCondition = FailureKind | "status" | "grpc-status" | "slow";

export interface RetryPolicyOptions {
  /** Further tries after the first; 0 turns retries off. */
  readonly attempts: number;
  /** Failures without an answer that are retried. */
  readonly conditions: readonly FailureKind[];
  /** Response statuses that are retried. */
  readonly statuses: readonly number[];
  /** gRPC statuses (0 to 16) that are retried. Listing one says that the calls may be repeated: all are POST. */
  readonly grpcStatuses: readonly number[];
  /** Methods that may take effect twice. */
  readonly methods: readonly string[];
}

/** What is known of the attempt that failed. May be one object, filled anew each time. */
export interface FailedAttempt {
  readonly condition: RetryCondition;
  /** Response status; 0 when there was none. */
  readonly status: number;
  /** gRPC status; -1 when there was none. */
  readonly grpcStatus: number;
  readonly method: string;
  /** The request carries an `Idempotency-Key`: the endpoint itself sees to it that repeating does no harm. */
  readonly idempotencyKey: boolean;
  /** Some of the request may have reached the endpoint. */
  readonly sent: boolean;
  /** All of the body is still there to be sent again, or there is none. */
  readonly bodyReplayable: boolean;
  /** The client has been sent some of an answer. */
  readonly answerBegun: boolean;
  /** Tries so far, the first included. */
  readonly tries: number;
  /** When the retry would begin, its backoff included; the same clock as `deadlineMs`. */
  readonly nextMs: number;
  /** When the exchange must be over; Infinity without a deadline. */
  readonly deadlineMs: number;
}

export type RetryVerdict =
  | "retry"
  | "answer-begun"
  | "condition-not-listed"
  | "not-idempotent"
  | "body-not-kept"
  | "no-attempts-left"
  | "no-time-left";

const HIGHEST_STATUS = 599;
const HIGHEST_GRPC_STATUS = 16;

export class RetryPolicy {
  /** Whether some answers are retried at all: otherwise none need be asked about. */
  readonly judgesAnswers: boolean;
  readonly judgesGrpc: boolean;
  readonly #attempts: number;
  readonly #conditions: ReadonlySet<string>;
  readonly #statuses = new Uint8Array(HIGHEST_STATUS + 1);
  readonly #grpcStatuses = new Uint8Array(HIGHEST_GRPC_STATUS + 1);
  readonly #methods: ReadonlySet<string>;

  constructor(options: RetryPolicyOptions) {
    this.#attempts = options.attempts;
    this.#conditions = new Set(options.conditions);
    for (const status of options.statuses) this.#statuses[status] = 1;
    for (const status of options.grpcStatuses) this.#grpcStatuses[status] = 1;
    this.#methods = new Set(options.methods);
    this.judgesAnswers = options.statuses.length > 0 || options.grpcStatuses.length > 0;
    this.judgesGrpc = options.grpcStatuses.length > 0;
  }

  /** Whether an answer with this status, or gRPC status (-1 for none), is one to retry; to be asked before it is relayed. */
  wants(status: number, grpcStatus: number): boolean {
    return this.#statuses[status] === 1 || this.#grpcStatuses[grpcStatus] === 1;
  }

  /** The budget is asked after this, and only when the verdict is `retry`. */
  decide(failed: FailedAttempt): RetryVerdict {
    if (failed.answerBegun) return "answer-begun";
    if (!this.#isListed(failed)) return "condition-not-listed";
    if (!this.#mayRepeat(failed)) return "not-idempotent";
    if (!failed.bodyReplayable) return "body-not-kept";
    if (failed.tries > this.#attempts) return "no-attempts-left";
    if (failed.nextMs >= failed.deadlineMs) return "no-time-left";
    return "retry";
  }

  #isListed({ condition, status, grpcStatus }: FailedAttempt): boolean {
    if (condition === "slow") return true;
    if (condition === "status") return this.#statuses[status] === 1;
    if (condition === "grpc-status") return this.#grpcStatuses[grpcStatus] === 1;
    return this.#conditions.has(condition);
  }

  /** Sending it again does no harm: it had no effect yet, a second effect changes nothing, or the user vouches for it. */
  #mayRepeat({ condition, sent, method, idempotencyKey }: FailedAttempt): boolean {
    if (condition === "connect-failure" || condition === "refused-stream" || !sent) return true;
    return this.#methods.has(method) || idempotencyKey || condition === "grpc-status";
  }
}
