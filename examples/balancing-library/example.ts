/** Shards cache keys over nodes with the balancers alone: no proxy, no configuration. Run it to see what moves. */
import { type LibraryEndpoint, maglev, powerOfTwoChoices, rendezvous, ringHash } from "evenkeel/balancing";

export interface CacheNode extends LibraryEndpoint {
  readonly id: string;
}

export const KEYS = Array.from({ length: 10_000 }, (_, index) => `user:${index}`);

export function nodes(count: number): CacheNode[] {
  return Array.from({ length: count }, (_, index) => ({ id: `cache-${index + 1}:6379` }));
}

/** Which node holds which key: all that is needed for a sharded cache. */
export type Shard = (key: string) => CacheNode;

const algorithms = { ringHash, maglev, rendezvous };
export type Sharding = keyof typeof algorithms;
export const SHARDINGS = Object.keys(algorithms) as Sharding[];

export function shardWith(name: Sharding, among: readonly CacheNode[]): Shard {
  const picker = algorithms[name](among);
  return (key) => {
    const node = picker.pick(key);
    if (node === undefined) throw new Error("no cache node is left");
    return node;
  };
}

/** What most people write first, to compare with. */
export function shardByRemainder(among: readonly CacheNode[]): Shard {
  return (key) => among[Number(Bun.hash.crc32(key)) % among.length] as CacheNode;
}

/** The share of keys that another node holds afterwards. */
export function movedShare(before: Shard, after: Shard): number {
  return KEYS.filter((key) => before(key).id !== after(key).id).length / KEYS.length;
}

/** The fullest node's keys relative to the average. */
export function fullest(shard: Shard, count: number): number {
  const held = new Map<string, number>();
  for (const key of KEYS) held.set(shard(key).id, (held.get(shard(key).id) ?? 0) + 1);
  return Math.max(...held.values()) / (KEYS.length / count);
}

/** Calls are shared by how busy each node is, counted by the caller in `active`. Returns the largest number in flight. */
export function shareCalls(among: readonly CacheNode[], calls: number): number {
  const picker = powerOfTwoChoices(among);
  for (let call = 0; call < calls; call++) {
    const node = picker.pick();
    if (node !== undefined) node.active = (node.active ?? 0) + 1;
  }
  return Math.max(...among.map(({ active = 0 }) => active));
}

if (import.meta.main) {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  const line = (name: string, moved: number, most: number): void =>
    console.log(`${name.padEnd(12)} ${percent(moved).padStart(7)} of the keys move, fullest ${most.toFixed(2)}`);
  console.log("a fifth node joins four (a fifth of the keys has to move):");
  line(
    "remainder",
    movedShare(shardByRemainder(nodes(4)), shardByRemainder(nodes(5))),
    fullest(shardByRemainder(nodes(5)), 5),
  );
  for (const name of SHARDINGS)
    line(name, movedShare(shardWith(name, nodes(4)), shardWith(name, nodes(5))), fullest(shardWith(name, nodes(5)), 5));
  console.log(`1,000 calls over 10 nodes, the most on one: ${shareCalls(nodes(10), 1_000)}`);
}
