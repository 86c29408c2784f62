/** Sessions that more than one balancer knows. Whoever implements it never throws, and answers in bounded time. */
export interface SharedStore {
  /**
   * Asks for the tag of a session and prolongs its life. `done` is called once, never within this call: with -1 when there
   * is no such session, with undefined when the store does not answer in time. Returns how to forget about it; undefined
   * when the store is not to be asked now, and `done` will not be called.
   */
  find(key: string, ttlMs: number, done: (tag: number | undefined) => void): (() => void) | undefined;
  put(key: string, tag: number, ttlMs: number): void;
}
