/**
 * Gathers what is to be sent until all events that are at hand have been handled, so that many small messages for one
 * peer leave in one write.
 */
export interface Flushable {
  /** Kept by `flushLater`. */
  flushPending: boolean;
  flush(): void;
}

let waiting: Flushable[] = [];

/** Has `target` flushed once, before the event loop waits for more. */
export function flushLater(target: Flushable): void {
  if (target.flushPending) return;
  target.flushPending = true;
  if (waiting.push(target) === 1) setImmediate(flushAll);
}

function flushAll(): void {
  const now = waiting;
  waiting = [];
  for (const target of now) {
    target.flushPending = false;
    target.flush();
  }
}
