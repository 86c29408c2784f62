/**
 * Sessions in Redis or Valkey. A session is one key whose value is the endpoint's tag, so every command is about one key.
 * Whatever does not work falls back on the balancer's own table.
 */
import type { RedisClient } from "../redis/redis-client.ts";
import type { RedisCommand, RedisReply } from "../redis/redis-node.ts";
import type { SharedStore } from "./shared-store.ts";

/** Characters of the key in braces: what keys have in common there is on one node of a cluster. */
const GROUP_LENGTH = 2;

export class RedisStore implements SharedStore {
  readonly #client: RedisClient;
  readonly #prefix: string;

  constructor(client: RedisClient, prefix: string) {
    this.#client = client;
    this.#prefix = prefix;
  }

  find(key: string, ttlMs: number, done: (tag: number | undefined) => void): (() => void) | undefined {
    let wanted = true;
    const asked = this.#send(key, ["GETEX", this.#name(key), "PX", String(ttlMs)], (reply) => {
      if (wanted) done(reply.kind === "reply" ? tagOf(reply.value) : undefined);
    });
    if (!asked) return undefined;
    return () => {
      wanted = false;
    };
  }

  put(key: string, tag: number, ttlMs: number): void {
    this.#send(key, ["SET", this.#name(key), tag.toString(16), "PX", String(ttlMs)], () => {});
  }

  close(): void {
    this.#client.close();
  }

  #name(key: string): string {
    return `${this.#prefix}:{${key.slice(0, GROUP_LENGTH)}}${key.slice(GROUP_LENGTH)}`;
  }

  #send(key: string, command: RedisCommand, done: (reply: RedisReply) => void): boolean {
    return this.#client.send(key.slice(0, GROUP_LENGTH), [command], done);
  }
}

/** -1 when there is no such session; undefined for what nobody has put there. */
function tagOf(value: unknown): number | undefined {
  if (value === null) return -1;
  return typeof value === "string" && /^[0-9a-f]{1,12}$/.test(value) ? Number.parseInt(value, 16) : undefined;
}
