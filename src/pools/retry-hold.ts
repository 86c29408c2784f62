/** What a retry counts in, from when it is booked until it is over: the limit of its pool, and the budget. */
import type { ConcurrencyLimits } from "../resilience/concurrency-limits.ts";
import type { RetryBudget } from "../resilience/retry-budget.ts";
import type { Pool } from "./pool.ts";

export interface RetryHolder {
  budgetHeld: RetryBudget | undefined;
  retryLimits: ConcurrencyLimits | undefined;
}

/** False when the pool's limit or its budget has no room for another. `tries` is the number of those that there were. */
export function holdRetry(holder: RetryHolder, { gate, retry }: Pool, condition: string, tries: number): boolean {
  const limits = gate?.limits;
  if (limits?.tryAcquire("retries") === false) return false;
  holder.retryLimits = limits;
  if (retry.isExempt(condition, tries)) return true;
  if (!retry.budget.tryStartRetry()) {
    endRetry(holder);
    return false;
  }
  holder.budgetHeld = retry.budget;
  return true;
}

/** The retry that was booked, if one was, is over. */
export function endRetry(holder: RetryHolder): void {
  holder.budgetHeld?.retryEnded();
  holder.budgetHeld = undefined;
  holder.retryLimits?.release("retries");
  holder.retryLimits = undefined;
}
