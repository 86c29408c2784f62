/** A clock that jumps from event to event: minutes of traffic in a second of computing, and the same every time. */
import type { Clock } from "../../src/base/clock.ts";

interface Event {
  readonly atMs: number;
  readonly sequence: number;
  readonly run: () => void;
}

export class VirtualTime implements Clock {
  #nowMs = 0;
  #sequence = 0;
  readonly #heap: Event[] = [];

  now(): number {
    return this.#nowMs;
  }

  wallNow(): number {
    return this.#nowMs;
  }

  /** Calls `run` after `delayMs`; of two at the same time the one that was asked for first. */
  after(delayMs: number, run: () => void): void {
    const event = { atMs: this.#nowMs + delayMs, sequence: this.#sequence++, run };
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isEarlier(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  /** Runs until nothing is left to happen. */
  run(): void {
    for (let event = this.#next(); event !== undefined; event = this.#next()) {
      this.#nowMs = event.atMs;
      event.run();
    }
  }

  #next(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || last === first) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isEarlier(heap[child + 1]!, heap[child]!)) child++;
      if (!isEarlier(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isEarlier(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
