/**
 * A second try beside the first, on another endpoint, when the first has not begun to answer in the time in which nearly all
 * do. The first answer that is wanted is passed on and the other try is cancelled. Until it is known which one that is, this
 * stands where the exchange's attempt does.
 */
import { POOL } from "../observability/metrics-table.ts";
import { giveBackPicked, pick } from "../pools/pick.ts";
import type { Pool } from "../pools/pool.ts";
import type { Hedgeable, PoolHedging } from "../pools/pool-hedging.ts";
import { endRetry } from "../pools/retry-hold.ts";
import type { Head } from "../protocols/http1/head.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { Attempt, type AttemptEnded, type AttemptWatch } from "./attempt.ts";
import type { Exchange, RunningAttempt } from "./exchange.ts";
import { asksForRetry, bookRetry, judgeAnswer } from "./retries.ts";
import type { Route } from "./snapshot.ts";

export class Hedge implements AttemptWatch, RunningAttempt, Hedgeable {
  readonly sinceMs: number;
  readonly #exchange: Exchange;
  readonly #route: Route;
  readonly #pool: Pool;
  readonly #hedging: PoolHedging;
  readonly #ended: AttemptEnded;
  readonly #first: Attempt;
  /** While both run. */
  #second: Attempt | undefined;

  /** Only first tries: what is a second one already has its place in the retry budget. */
  static isFor({ upgrade, attempts, attemptsElsewhere }: Exchange): boolean {
    return !upgrade && attempts - attemptsElsewhere === 1;
  }

  /** The first try goes to `endpoint`. `ended` is told of the end of either that the other does not outlive. */
  constructor(
    exchange: Exchange,
    route: Route,
    pool: Pool,
    hedging: PoolHedging,
    endpoint: Endpoint,
    ended: AttemptEnded,
  ) {
    this.sinceMs = exchange.nowMs;
    this.#exchange = exchange;
    this.#route = route;
    this.#pool = pool;
    this.#hedging = hedging;
    this.#ended = ended;
    this.#first = new Attempt(exchange, route, pool, endpoint, ended, this);
  }

  start(fresh: boolean): void {
    this.#exchange.attempt = this;
    this.#hedging.add(this);
    this.#first.start(fresh);
  }

  /** It is slow: sends the second one, where that does no harm and there is an endpoint, a place and a budget for it. */
  hedge(nowMs: number): void {
    const exchange = this.#exchange;
    const pool = this.#pool;
    exchange.nowMs = nowMs;
    // Places that become free belong to those that have none at all.
    if (!exchange.isKept || pool.queue.length > 0) return;
    const { endpoint: slow } = this.#first;
    const endpoint = pick(exchange, pool, [slow]);
    if (endpoint === undefined) return;
    // A reload may have made another object of the same endpoint.
    const isOther = endpoint.id !== slow.id;
    if (!isOther || !bookRetry(exchange, "slow", 0, -1)) return giveBackPicked(exchange, pool, endpoint);
    exchange.attempts++;
    exchange.lastEndpoint = endpoint.id;
    exchange.context.metrics.add(pool.cells + POOL.hedges, 1);
    this.#second = new Attempt(exchange, this.#route, pool, endpoint, this.#ended, this);
    this.#second.start(false);
  }

  // ---- What the attempts tell (AttemptWatch)

  begins(attempt: Attempt): void {
    if (attempt !== this.#first) return;
    this.#hedging.remove(this);
    this.#observeFirst();
    if (this.#second === undefined) this.#exchange.attempt = attempt;
  }

  isUnwanted(attempt: Attempt, head: Head): boolean {
    const { retry } = this.#pool;
    const other = this.#otherThan(attempt);
    if (other === undefined) return retry.policy.judgesAnswers && judgeAnswer(this.#exchange, head);
    // The other may do better.
    if (asksForRetry(retry, head)) return true;
    this.#win(attempt, other);
    return false;
  }

  goesOnWithout(attempt: Attempt): boolean {
    this.#hedging.remove(this);
    const other = this.#otherThan(attempt);
    if (other === undefined) return false;
    this.#exchange.tried = [attempt.endpoint];
    this.#leaveTo(other);
    return true;
  }

  /** The other one, while both run. */
  #otherThan(attempt: Attempt): Attempt | undefined {
    return this.#second === attempt ? this.#first : this.#second;
  }

  #win(winner: Attempt, loser: Attempt): void {
    this.#leaveTo(winner);
    if (loser === this.#first) {
      this.#exchange.context.metrics.add(this.#pool.cells + POOL.hedgesWon, 1);
      if (loser.firstByteMs < 0) this.#observeFirst();
      loser.cancelAsSlow();
    } else loser.cancel();
    // Its place is free now.
    if (this.#pool.queue.length > 0) this.#pool.queue.wake();
  }

  /** Only one is left, and it is the exchange's like any other. The retry budget is for what runs beside it. */
  #leaveTo(attempt: Attempt): void {
    const exchange = this.#exchange;
    this.#second = undefined;
    endRetry(exchange);
    exchange.attempt = attempt;
    exchange.lastEndpoint = attempt.endpoint.id;
    exchange.connectMs = attempt.connectMs;
    exchange.firstByteMs = attempt.firstByteMs;
  }

  /** One that was cancelled took longer than this: left out, it would make the slow ones seem fewer than they are. */
  #observeFirst(): void {
    const { nowMs } = this.#exchange;
    this.#hedging.observe(nowMs - this.sinceMs, nowMs);
  }

  // ---- What the client's side tells (RunningAttempt). It is only while the first is alone that a body may still arrive.

  onRequestBody(bytes: Buffer, start: number, end: number): void {
    this.#first.onRequestBody(bytes, start, end);
  }

  onClientDrain(): void {
    this.#first.onClientDrain();
    this.#second?.onClientDrain();
  }

  onClientEnd(): void {
    this.#first.onClientEnd();
  }

  cancel(): void {
    this.#hedging.remove(this);
    this.#first.cancel();
    this.#second?.cancel();
    this.#second = undefined;
  }
}
