/**
 * A single Redis server or a cluster of them. In a cluster the nodes themselves say who has a key (MOVED, ASK); it is
 * remembered for the group of keys that hash together. Nothing waits longer than the timeout; a server that does not
 * answer is left alone for a while.
 */
import type { Clock, Timers } from "../base/clock.ts";
import { type RedisCommand, type RedisConnection, RedisNode, type RedisReply } from "./redis-node.ts";
import type { RedisConfig } from "./schema.ts";

/** A key may be sent on from node to node so often. */
const MAX_REDIRECTS = 3;
const MAX_NODES = 256;

export interface RedisClientOptions {
  readonly config: RedisConfig;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly connect: (url: string, timeoutMs: number) => RedisConnection;
  /** A server is left alone from now on, or answers again. */
  readonly onChange: (server: string, reachable: boolean, reason: string) => void;
}

export class RedisClient {
  readonly #options: RedisClientOptions;
  readonly #seeds: readonly RedisNode[];
  /** By URL; those of the configuration first. */
  readonly #nodes = new Map<string, RedisNode>();
  /** Which node has a group of keys, as far as one has said so. */
  readonly #owners = new Map<string, RedisNode>();

  constructor(options: RedisClientOptions) {
    this.#options = options;
    this.#seeds = options.config.url.map((url) => this.#node(url));
  }

  /**
   * Sends commands about keys of one `group`: keys that have it in braces, and so are on one node of a cluster. `done` is
   * called once with the reply to the last of them, never within this call. False when nobody is to be asked now: then
   * `done` is not called.
   */
  send(group: string, commands: readonly RedisCommand[], done: (reply: RedisReply) => void): boolean {
    const { clock, timers, config } = this.#options;
    // One for all redirects together: whoever waits has been promised one.
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
      const asked = next.asking ? commands.flatMap((command): RedisCommand[] => [["ASKING"], command]) : commands;
      if (!next.node.send(asked, (answer) => onReply(answer, next.node))) end({ kind: "unavailable" });
    };
    const node = this.#nodeOf(group);
    if (node.send(commands, (reply) => onReply(reply, node))) return true;
    timer.stop();
    return false;
  }

  close(): void {
    for (const node of this.#nodes.values()) node.close();
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
