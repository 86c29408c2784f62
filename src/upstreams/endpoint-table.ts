/**
 * The live state of all endpoints, shared by the supervisor and its workers: may it be picked, its weight, and how many
 * exchanges are in flight on it. In-flight has one column per worker, so that what a dead worker held can be given back.
 */
import type { Region } from "../base/shared-memory.ts";
import type { AdminState } from "./admin-state.ts";

/** Endpoints that one evenkeel can have at a time, those still draining after a reload included. */
export const MAX_ENDPOINTS = 16_384;
export const MAX_WORKERS = 64;

// Whether an endpoint may be picked is folded here and nowhere else: it is well, and nobody has a reason against it. Each
// reason is a bit of its own, set and cleared by whoever knows it, in any process, without disturbing the others.
const HEALTHY = 1;
const DRAINING = 2;
/** The time that draining may take is over. */
const DRAINED = 4;
const MAINTENANCE = 8;
const EJECTED = 16;
/** Well enough, but to be spared while others can serve. The one bit besides HEALTHY that is no reason against it. */
const DEGRADED = 32;
/** Goes up and down too often to be trusted now. */
const HELD = 64;
/** Its pool requires another that has nothing usable. */
const BLOCKED = 128;

export class EndpointTable {
  readonly workers: number;
  readonly #standing: Int32Array;
  readonly #weight: Int32Array;
  readonly #elsewhere: Int32Array;
  readonly #inFlight: Int32Array;

  static bytes(workers: number): number {
    return MAX_ENDPOINTS * 4 * (3 + workers);
  }

  constructor(region: Region, workers: number) {
    this.workers = workers;
    this.#standing = new Int32Array(region.buffer, region.byteOffset, MAX_ENDPOINTS);
    this.#weight = new Int32Array(region.buffer, region.byteOffset + MAX_ENDPOINTS * 4, MAX_ENDPOINTS);
    this.#elsewhere = new Int32Array(region.buffer, region.byteOffset + MAX_ENDPOINTS * 8, MAX_ENDPOINTS);
    this.#inFlight = new Int32Array(region.buffer, region.byteOffset + MAX_ENDPOINTS * 12, MAX_ENDPOINTS * workers);
  }

  /** May begin anything: well, ready, not degraded, and nothing against it. */
  isEligible(row: number): boolean {
    return this.#standing[row] === HEALTHY;
  }

  /** As eligible, but degraded. */
  isDegraded(row: number): boolean {
    return this.#standing[row] === (HEALTHY | DEGRADED);
  }

  /** Eligible or degraded. */
  isUsable(row: number): boolean {
    return ((this.#standing[row] as number) & ~DEGRADED) === HEALTHY;
  }

  /** May go on with what belongs to a session of its own: as usable, or draining with time left. */
  keepsSessions(row: number): boolean {
    return ((this.#standing[row] as number) & ~(DRAINING | DEGRADED)) === HEALTHY;
  }

  /** May be tried when too few are well: nobody has taken it out, and its pool has what it needs. */
  mayBeTried(row: number): boolean {
    return ((this.#standing[row] as number) & (DRAINING | DRAINED | MAINTENANCE | BLOCKED)) === 0;
  }

  /** Its idle connections are of no use any more. */
  isLeaving(row: number): boolean {
    return ((this.#standing[row] as number) & (DRAINING | MAINTENANCE)) !== 0;
  }

  setHealthy(row: number, healthy: boolean): void {
    this.#set(row, HEALTHY, healthy);
  }

  /** Taken out for a while because of how it answers. */
  setEjected(row: number, ejected: boolean): void {
    this.#set(row, EJECTED, ejected);
  }

  isEjected(row: number): boolean {
    return ((this.#standing[row] as number) & EJECTED) !== 0;
  }

  setDegraded(row: number, degraded: boolean): void {
    this.#set(row, DEGRADED, degraded);
  }

  /** Kept out although it is well, because it has failed so often. */
  setHeld(row: number, held: boolean): void {
    this.#set(row, HELD, held);
  }

  setBlocked(row: number, blocked: boolean): void {
    this.#set(row, BLOCKED, blocked);
  }

  isBlocked(row: number): boolean {
    return ((this.#standing[row] as number) & BLOCKED) !== 0;
  }

  setState(row: number, state: AdminState): void {
    // Set before clear: going from one to the other it is never ready for a moment.
    if (state !== "ready") Atomics.or(this.#standing, row, state === "drain" ? DRAINING : MAINTENANCE);
    const gone = (state === "drain" ? 0 : DRAINING) | (state === "maintenance" ? 0 : MAINTENANCE) | DRAINED;
    Atomics.and(this.#standing, row, ~gone);
  }

  /** The time for draining is over: sessions go elsewhere too. */
  setDrained(row: number): void {
    this.#set(row, DRAINED, true);
  }

  weight(row: number): number {
    return this.#weight[row] as number;
  }

  setWeight(row: number, weight: number): void {
    Atomics.store(this.#weight, row, weight);
  }

  /** Exchanges in flight on this endpoint, over all workers. */
  inFlight(row: number): number {
    const start = row * this.workers;
    const end = start + this.workers;
    let sum = 0;
    for (let cell = start; cell < end; cell++) sum += this.#inFlight[cell] as number;
    return sum;
  }

  inFlightOf(row: number, worker: number): number {
    return this.#inFlight[row * this.workers + worker] as number;
  }

  /** Places of the endpoint's limit that are for other balancers. */
  elsewhere(row: number): number {
    return this.#elsewhere[row] as number;
  }

  setElsewhere(row: number, places: number): void {
    Atomics.store(this.#elsewhere, row, places);
  }

  acquire(row: number, worker: number): void {
    Atomics.add(this.#inFlight, row * this.workers + worker, 1);
  }

  /**
   * Acquires unless that would exceed `limit` over all workers, what is for other balancers counted in. Two workers that
   * meet at the limit may both be refused; it is never exceeded.
   */
  tryAcquire(row: number, worker: number, limit: number): boolean {
    this.acquire(row, worker);
    if (this.inFlight(row) + this.elsewhere(row) <= limit) return true;
    this.release(row, worker);
    return false;
  }

  release(row: number, worker: number): void {
    Atomics.sub(this.#inFlight, row * this.workers + worker, 1);
  }

  /** Gives back all that a dead worker held. */
  releaseWorker(worker: number): void {
    for (let row = 0; row < MAX_ENDPOINTS; row++) Atomics.store(this.#inFlight, row * this.workers + worker, 0);
  }

  clearRow(row: number): void {
    Atomics.store(this.#standing, row, 0);
    this.setWeight(row, 0);
    this.setElsewhere(row, 0);
    for (let worker = 0; worker < this.workers; worker++) Atomics.store(this.#inFlight, row * this.workers + worker, 0);
  }

  #set(row: number, bit: number, on: boolean): void {
    if (on) Atomics.or(this.#standing, row, bit);
    else Atomics.and(this.#standing, row, ~bit);
  }
}
