/**
 * Tells the other balancers through Redis what is in use here, and hears what they have: one hash with a field for each
 * balancer, written and read in one go, from one process of each balancer. Nothing on the way of a request waits for it.
 */
import type { Timer, Timers } from "../base/clock.ts";
import type { RedisCommand, RedisReply } from "../redis/redis-node.ts";
import { type Publication, writePublication } from "./publication.ts";

/** The hash goes when no balancer has written to it for so many times as long as one is remembered. */
const KEEP_FACTOR = 20;

/** What is needed of a RedisClient. */
export interface Store {
  send(group: string, commands: readonly RedisCommand[], done: (reply: RedisReply) => void): boolean;
  close(): void;
}

export interface LimitExchangeOptions {
  readonly timers: Timers;
  readonly store: Store;
  readonly prefix: string;
  /** This balancer's own. */
  readonly id: string;
  readonly intervalMs: number;
  readonly forgetAfterMs: number;
  readonly publish: () => Publication;
  /** What the others have published, by their ids. Returns those to be removed. */
  readonly onHeard: (published: ReadonlyMap<string, string>) => readonly string[];
  readonly onUnheard: () => void;
}

export class LimitExchange {
  readonly #options: LimitExchangeOptions;
  readonly #timer: Timer;
  #waiting = false;
  #closed = false;

  /** Begins at once. */
  constructor(options: LimitExchangeOptions) {
    this.#options = options;
    this.#timer = options.timers.every(options.intervalMs, () => this.#exchange());
    this.#exchange();
  }

  /** Takes what it has published back, as far as that is possible now. */
  close(): void {
    this.#closed = true;
    this.#timer.stop();
    const { store, prefix, id } = this.#options;
    const asked = store.send(prefix, [["HDEL", this.#key, id]], () => store.close());
    if (!asked) store.close();
  }

  #exchange(): void {
    if (this.#waiting) return;
    const { store, prefix, id, publish, forgetAfterMs } = this.#options;
    const commands: RedisCommand[] = [
      ["HSET", this.#key, id, writePublication(publish())],
      ["PEXPIRE", this.#key, String(forgetAfterMs * KEEP_FACTOR)],
      ["HGETALL", this.#key],
    ];
    this.#waiting = true;
    const asked = store.send(prefix, commands, (reply) => {
      this.#waiting = false;
      if (!this.#closed) this.#hear(reply);
    });
    if (asked) return;
    this.#waiting = false;
    this.#options.onUnheard();
  }

  #hear(reply: RedisReply): void {
    const { store, prefix, id, onHeard, onUnheard } = this.#options;
    const published = reply.kind === "reply" ? fieldsOf(reply.value) : undefined;
    if (published === undefined) return onUnheard();
    published.delete(id);
    const gone = onHeard(published);
    if (gone.length > 0) store.send(prefix, [["HDEL", this.#key, ...gone]], () => {});
  }

  get #key(): string {
    return `{${this.#options.prefix}}:in-use`;
  }
}

/** A hash as RESP3 gives it, an object, or as RESP2 does, names and values in turns. */
function fieldsOf(value: unknown): Map<string, string> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = Array.isArray(value) ? inPairs(value) : Object.entries(value);
  return new Map(fields.filter((field): field is [string, string] => typeof field[1] === "string"));
}

function inPairs(values: readonly unknown[]): [string, unknown][] {
  return values.flatMap((value, index): [string, unknown][] =>
    index % 2 === 0 ? [[String(value), values[index + 1]]] : [],
  );
}
