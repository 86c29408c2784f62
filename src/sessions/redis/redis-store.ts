/**
 * Sessions in Redis or Valkey, a single server or a cluster. A session is one key whose value is the endpoint's tag, so
 * every command is about one key. In a cluster the nodes themselves say who has a key (MOVED, ASK); it is remembered for
 * the group of keys that hash together. Whatever does not work falls back on the balancer's own table.
 */
import type { Clock, Timers } from "../../base/clock.ts";
import type { RedisConfig } from "../schema.ts";
import type { SharedStore } from "../shared-store.ts";
import { type RedisConnection, RedisNode, type RedisReply } from "./redis-node.ts";

/** A key may be sent on from node to node so often. */
const MAX_REDIRECTS = 3;
const MAX_NODES = 256;
/** Characters of the key in braces: what keys have in common there is on one node of a cluster. */
const GROUP_LENGTH = 2;

export interface RedisStoreOptions {
  readonly config: RedisConfig;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly connect: (url: string, timeoutMs: number) => RedisConnection;
  readonly onChange: (server: string, reachable: boolean, reason: string) => void;
}

type Command = readonly [string, ...string[]];

export class RedisStore implements SharedStore {
  readonly #options: RedisStoreOptions;
  readonly #seeds: readonly RedisNode[];
  /** By URL; those of the configuration first. */
  readonly #nodes = new Map<string, RedisNode>();
  /** Which node has a group of keys, as far as one has said so. */
  readonly #owners = new Map<string, RedisNode>();

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#seeds = options.config.url.map((url) => this.#node(url));
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
    for (const node of this.#nodes.values()) node.close();
  }

  #name(key: string): string {
    return `${this.#options.config.prefix}:{${key.slice(0, GROUP_LENGTH)}}${key.slice(GROUP_LENGTH)}`;
  }

  /** One deadline for all redirects together: whoever waits has been promised one. */
  #send(key: string, command: Command, done: (reply: RedisReply) => void): boolean {
    const { clock, timers, config } = this.#options;
    const group = key.slice(0, GROUP_LENGTH);
    const deadlineMs = clock.now() + config.timeout;
    let redirects = 0;
    let over = false;
    const end = (reply: RedisReply): void => {
      if (over) return;
      over = true;
      timer?.stop();
      done(reply);
    };
    const timer = timers.after(config.timeout, () => end({ kind: "unavailable" }));
    const onReply = (reply: RedisReply, from: RedisNode): void => {
      if (reply.kind === "unavailable" && this.#owners.get(group) === from) this.#owners.delete(group);
      if (over) return;
      const next = reply.kind === "redirect" ? this.#redirected(reply.message, group, from) : undefined;
      if (next === undefined || ++redirects > MAX_REDIRECTS || clock.now() >= deadlineMs) return end(reply);
      const commands: Command[] = next.asking ? [["ASKING"], command] : [command];
      if (!next.node.send(commands, (answer) => onReply(answer, next.node))) end({ kind: "unavailable" });
    };
    const node = this.#nodeOf(group);
    if (node.send([command], (reply) => onReply(reply, node))) return true;
    timer.stop();
    return false;
  }

  #nodeOf(group: string): RedisNode {
    const owner = this.#owners.get(group);
    if (owner?.reachable) return owner;
    // The owner may have been replaced; any node of the cluster that answers knows.
    return this.#seeds.find((node) => node.reachable) ?? this.#anyReachable() ?? owner ?? this.#seeds[0]!;
  }

  #anyReachable(): RedisNode | undefined {
    for (const node of this.#nodes.values()) if (node.reachable) return node;
    return undefined;
  }

  #redirected(message: string, group: string, from: RedisNode): { node: RedisNode; asking: boolean } | undefined {
    const [, kind, host, port] = /^(MOVED|ASK) \d+ (.*):(\d+)$/.exec(message) ?? [];
    if (kind === undefined || host === undefined || port === undefined) return undefined;
    const url = new URL(from.url);
    if (host !== "") url.hostname = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
    url.port = port;
    if (!this.#nodes.has(url.href) && this.#nodes.size >= MAX_NODES) return undefined;
    const node = this.#node(url.href);
    if (kind === "MOVED") this.#owners.set(group, node);
    return { node, asking: kind === "ASK" };
  }

  #node(url: string): RedisNode {
    const href = new URL(url).href;
    const known = this.#nodes.get(href);
    if (known !== undefined) return known;
    const { clock, timers, connect, config, onChange } = this.#options;
    const node = new RedisNode(href, {
      clock,
      timers,
      connect,
      timeoutMs: config.timeout,
      failures: config.failures,
      waitMs: config.wait,
      onChange: ({ name }, reachable, reason) => onChange(name, reachable, reason),
    });
    this.#nodes.set(href, node);
    return node;
  }
}

/** -1 when there is no such session; undefined for what nobody has put there. */
function tagOf(value: unknown): number | undefined {
  if (value === null) return -1;
  return typeof value === "string" && /^[0-9a-f]{1,12}$/.test(value) ? Number.parseInt(value, 16) : undefined;
}
