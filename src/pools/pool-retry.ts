/** How requests to one pool are tried again: the policy, its budget and its backoff. Built when a configuration is loaded. */
import type { FailureKind } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { type BackoffOptions, backoffMs } from "../resilience/backoff.ts";
import { backoffOptions } from "../resilience/options.ts";
import { RetryBudget } from "../resilience/retry-budget.ts";
import { RetryPolicy } from "../resilience/retry-policy.ts";
import { type RetryConfig, retryConditions } from "../resilience/retry-schema.ts";
import type { UsageCounters } from "../resilience/usage-counters.ts";

export class PoolRetry {
  readonly attempts: number;
  /** From the beginning of a try to the first byte of its answer; Infinity without a bound. */
  readonly perTryMs: number;
  /** Clients are told how many tries it took. */
  readonly header: boolean;
  readonly policy: RetryPolicy;
  readonly budget: RetryBudget;
  readonly #backoff: BackoffOptions;
  readonly #exempt: ReadonlySet<string>;

  /** `counters` are those of the budget: active requests, then retries. */
  constructor(config: RetryConfig, counters: UsageCounters) {
    this.attempts = config.attempts;
    this.perTryMs = config.perTryTimeout === 0 ? Number.POSITIVE_INFINITY : config.perTryTimeout;
    this.header = config.header;
    this.policy = new RetryPolicy({
      attempts: config.attempts,
      methods: config.methods,
      ...retryConditions(config.on),
    });
    this.budget = new RetryBudget(counters, 0, config.budget);
    this.#backoff = backoffOptions(config.backoff);
    this.#exempt = new Set<FailureKind>(config.budget.exempt);
  }

  /** How long to wait before retry number `retry` (1 for the first), in milliseconds. */
  backoffMs(retry: number, random: Random): number {
    return this.#backoff.baseMs === 0 ? 0 : backoffMs(retry, this.#backoff, random);
  }

  /** Whether retry number `retry` after this failure is free. */
  isExempt(condition: string, retry: number): boolean {
    return retry === 1 && this.#exempt.has(condition);
  }
}
