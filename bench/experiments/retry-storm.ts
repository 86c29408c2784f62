/**
 * What retries do to a service that is slow for ten seconds. A hundred servers work at 70% load; for ten seconds they are
 * half as fast; clients give up a try after a second, which the servers do not learn: they work on what nobody waits for.
 * With evenkeel's own budgets and backoff, on a virtual clock. Run: `node tools/run.mjs bench/experiments/retry-storm.ts`
 */
import { type Random, seededRandom } from "../../src/base/random.ts";
import { backoffMs } from "../../src/resilience/backoff.ts";
import { RETRY_BUDGET_CELLS, RetryBudget } from "../../src/resilience/retry-budget.ts";
import { RetryTokenBudget } from "../../src/resilience/retry-token-budget.ts";
import { LocalUsageCounters } from "../../src/resilience/usage-counters.ts";
import { printTable } from "./table.ts";
import { VirtualTime } from "./virtual-time.ts";

const SERVERS = 100;
const SERVICE_MS = 100;
const REQUESTS_PER_SECOND = 700;
const TIMEOUT_MS = 1_000;
const RETRIES = 3;
const BACKOFF = { baseMs: 25, maxMs: 250 };
const DIP_FROM_MS = 20_000;
const DIP_UNTIL_MS = 30_000;
const LENGTH_MS = 120_000;
const SECONDS = LENGTH_MS / 1_000;

/** Says whether a retry may be sent, and is told what it must know for that. */
interface Guard {
  started(): void;
  ended(): void;
  tryRetry(): boolean;
  retryEnded(): void;
}

const nothing = (): void => {};
const GUARDS: Readonly<Record<string, (time: VirtualTime) => Guard>> = {
  "no retries": () => ({ started: nothing, ended: nothing, tryRetry: () => false, retryEnded: nothing }),
  "3 retries, no budget": () => ({ started: nothing, ended: nothing, tryRetry: () => true, retryEnded: nothing }),
  "3 retries, 20% of active": () => {
    const budget = new RetryBudget(new LocalUsageCounters(RETRY_BUDGET_CELLS), 0, { percent: 20, minimum: 3 });
    return {
      started: () => budget.exchangeStarted(),
      ended: () => budget.exchangeEnded(),
      tryRetry: () => budget.tryStartRetry(),
      retryEnded: () => budget.retryEnded(),
    };
  },
  "3 retries, 20% over 10 s": (time) => {
    const budget = new RetryTokenBudget({ percent: 20, minimumPerSecond: 1, ttlMs: 10_000 }, time.now());
    return {
      started: () => budget.exchangeStarted(time.now()),
      ended: nothing,
      tryRetry: () => budget.tryStartRetry(time.now()),
      retryEnded: nothing,
    };
  },
};

export const POLICIES = Object.keys(GUARDS);

/** Counts of each second, by the time at which a request arrived or a try was sent or answered. */
export interface StormResult {
  readonly requests: Float64Array;
  readonly tries: Float64Array;
  /** Answers that came while somebody waited for them. */
  readonly good: Float64Array;
}

/** Servers that take what comes, first come, first served. */
class Service {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #waiting: (() => void)[] = [];
  #first = 0;
  #busy = 0;

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  serve(answer: () => void): void {
    if (this.#busy === SERVERS) this.#waiting.push(answer);
    else this.#work(answer);
  }

  #work(answer: () => void): void {
    this.#busy++;
    const now = this.#time.now();
    const slowness = now >= DIP_FROM_MS && now < DIP_UNTIL_MS ? 2 : 1;
    this.#time.after(exponential(SERVICE_MS * slowness, this.#random), () => {
      this.#busy--;
      answer();
      const next = this.#waiting[this.#first];
      if (next === undefined) return;
      this.#first++;
      this.#work(next);
    });
  }
}

/** Two minutes of traffic under one of `POLICIES`. */
export function simulate(policy: string, seed: number): StormResult {
  const time = new VirtualTime();
  const random = seededRandom(seed);
  const service = new Service(time, random);
  const guard = GUARDS[policy]!(time);
  const perSecond = (): Float64Array => new Float64Array(SECONDS);
  const result = { requests: perSecond(), tries: perSecond(), good: perSecond() };
  const note = (series: Float64Array): void => {
    const second = Math.floor(time.now() / 1_000);
    if (second < SECONDS) series[second] = (series[second] as number) + 1;
  };

  const attempt = (number: number): void => {
    note(result.tries);
    let waits = true;
    service.serve(() => {
      if (!waits) return;
      waits = false;
      note(result.good);
      if (number > 0) guard.retryEnded();
      guard.ended();
    });
    time.after(TIMEOUT_MS, () => {
      if (!waits) return;
      waits = false;
      if (number > 0) guard.retryEnded();
      if (number < RETRIES && guard.tryRetry()) {
        time.after(backoffMs(number + 1, BACKOFF, random), () => attempt(number + 1));
      } else guard.ended();
    });
  };
  const arrive = (): void => {
    if (time.now() >= LENGTH_MS) return;
    note(result.requests);
    guard.started();
    attempt(0);
    time.after(exponential(1_000 / REQUESTS_PER_SECOND, random), arrive);
  };
  time.after(0, arrive);
  time.run();
  return result;
}

/** Seconds after the dip until nine in ten requests are answered again, five seconds in a row; -1 for never. */
export function recoverySeconds({ requests, good }: StormResult): number {
  let inARow = 0;
  for (let second = DIP_UNTIL_MS / 1_000; second < SECONDS; second++) {
    inARow = good[second]! >= 0.9 * requests[second]! ? inARow + 1 : 0;
    if (inARow === 5) return second - 4 - DIP_UNTIL_MS / 1_000;
  }
  return -1;
}

function exponential(mean: number, random: Random): number {
  return -mean * Math.log(1 - random.next());
}

function sum(series: Float64Array, fromSecond: number, untilSecond: number): number {
  return series.subarray(fromSecond, untilSecond).reduce((total, each) => total + each, 0);
}

/** Goodput in percent of the requests, and tries for each of them. */
function phase({ requests, tries, good }: StormResult, from: number, until: number): string {
  const arrived = sum(requests, from, until);
  return `${((sum(good, from, until) * 100) / arrived).toFixed(0)}%, ${(sum(tries, from, until) / arrived).toFixed(2)}x`;
}

function main(): void {
  const rows = POLICIES.map((policy) => {
    const result = simulate(policy, 1);
    const seconds = recoverySeconds(result);
    const phases = [
      [0, 20],
      [20, 30],
      [30, 60],
      [90, 120],
    ] as const;
    return [
      policy,
      ...phases.map(([from, until]) => phase(result, from, until)),
      seconds < 0 ? "never" : `${seconds} s`,
    ];
  });
  console.log("goodput (answers in time, of all requests) and load (tries for each request)\n");
  printTable(["", "before", "the dip", "30 s after it", "last 30 s", "well again after"], rows);
}

if (import.meta.main) main();
