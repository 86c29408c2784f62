/** Those who wait with one priority, in the order in which they came. Whoever leaves, from wherever, leaves in constant time. */

export interface Waiter {
  /** 0 is served first. */
  readonly rank: number;
  /** When it must have left the queue whatever the queue itself allows, on the clock's scale; infinite for never. */
  readonly deadlineMs: number;
  /** Takes an endpoint if one is free now. True when it need not wait any longer: `go` follows. */
  tryAgain(): boolean;
  /** It has left the queue, and goes on. */
  go(): void;
  /** It waited for as long as it may. */
  waitedTooLong(nowMs: number): void;
  /** It had to make room for one of a lower rank. */
  displaced(): void;
}

/** Where one stands in the queue. */
export class WaitPlace {
  readonly waiter: Waiter;
  readonly sinceMs: number;
  readonly dueMs: number;
  /** Undefined once it has left. */
  lane: WaitLane | undefined;
  before: WaitPlace | undefined;
  behind: WaitPlace | undefined;

  constructor(waiter: Waiter, sinceMs: number, dueMs: number) {
    this.waiter = waiter;
    this.sinceMs = sinceMs;
    this.dueMs = dueMs;
  }
}

export class WaitLane {
  oldest: WaitPlace | undefined;
  newest: WaitPlace | undefined;

  /** Goes to the end. */
  join(place: WaitPlace): void {
    place.lane = this;
    place.before = this.newest;
    if (this.newest === undefined) this.oldest = place;
    else this.newest.behind = place;
    this.newest = place;
  }

  leave(place: WaitPlace): void {
    const { before, behind } = place;
    if (before === undefined) this.oldest = behind;
    else before.behind = behind;
    if (behind === undefined) this.newest = before;
    else behind.before = before;
    place.lane = undefined;
    place.before = undefined;
    place.behind = undefined;
  }
}
