/**
 * The live state of all endpoints, shared by the supervisor and its workers: may it be picked, its weight, and how many
 * exchanges are in flight on it. In-flight has one column per worker, so that what a dead worker held can be given back.
 */
import type { Region } from "../base/shared-memory.ts";

/** Endpoints that one evenkeel can have at a time, those still draining after a reload included. */
export const MAX_ENDPOINTS = 16_384;
export const MAX_WORKERS = 64;

export class EndpointTable {
  readonly workers: number;
  readonly #eligible: Int32Array;
  readonly #weight: Int32Array;
  readonly #inFlight: Int32Array;

  static bytes(workers: number): number {
    return MAX_ENDPOINTS * 4 * (2 + workers);
  }

  constructor(region: Region, workers: number) {
    this.workers = workers;
    this.#eligible = new Int32Array(region.buffer, region.byteOffset, MAX_ENDPOINTS);
    this.#weight = new Int32Array(region.buffer, region.byteOffset + MAX_ENDPOINTS * 4, MAX_ENDPOINTS);
    this.#inFlight = new Int32Array(region.buffer, region.byteOffset + MAX_ENDPOINTS * 8, MAX_ENDPOINTS * workers);
  }

  isEligible(row: number): boolean {
    return this.#eligible[row] === 1;
  }

  setEligible(row: number, eligible: boolean): void {
    Atomics.store(this.#eligible, row, eligible ? 1 : 0);
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

  acquire(row: number, worker: number): void {
    Atomics.add(this.#inFlight, row * this.workers + worker, 1);
  }

  /**
   * Acquires unless that would exceed `limit` over all workers. Two workers that meet at the limit may both be refused;
   * it is never exceeded.
   */
  tryAcquire(row: number, worker: number, limit: number): boolean {
    this.acquire(row, worker);
    if (this.inFlight(row) <= limit) return true;
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
    this.setEligible(row, false);
    this.setWeight(row, 0);
    for (let worker = 0; worker < this.workers; worker++) Atomics.store(this.#inFlight, row * this.workers + worker, 0);
  }
}
