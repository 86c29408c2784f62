/**
 * The limits of one balancer that others keep with it, and what of them is reserved for those. It is told what the others
 * have published, or that they cannot be heard; who tells it, and how, is not its concern.
 */
import { equalShare, nextCap, reservedPlaces, type ShareInput } from "./limit-share.ts";
import { Peers } from "./peers.ts";
import type { Publication } from "./publication.ts";

/** One limit, of a pool or of an endpoint in it. */
export interface SharedLimit {
  readonly pool: string;
  /** Unique in its pool, the same in all balancers. */
  readonly name: string;
  /** Greater than 0. */
  readonly limit: number;
  /** In use here. */
  inUse(): number;
  /** So many of its places are not to be used here. */
  reserve(places: number): void;
}

export interface LimitSharingOptions {
  readonly forgetAfterMs: number;
  readonly whenUnreachable: "alone" | "split";
  /** Whether somebody was refused or had to wait in this pool since it was last asked. */
  readonly isShort: (pool: string) => boolean;
}

export class LimitSharing {
  readonly #options: LimitSharingOptions;
  readonly #peers: Peers;
  /** By limit: the most to be used here, and what was used the last time. */
  readonly #shares = new Map<string, { readonly cap: number; readonly own: number }>();
  readonly #balancers = new Map<string, number>();
  #limits: readonly SharedLimit[] = [];
  #pools: readonly string[] = [];
  #sequence = 0;
  #heardMs: number | undefined;

  constructor(options: LimitSharingOptions) {
    this.#options = options;
    this.#peers = new Peers(options.forgetAfterMs);
  }

  /** Exactly these are shared from now on; nothing is reserved of the others any more. */
  setLimits(limits: readonly SharedLimit[], nowMs: number): void {
    const kept = new Set(limits.map(keyOf));
    for (const limit of this.#limits) {
      if (kept.has(keyOf(limit))) continue;
      limit.reserve(0);
      this.#shares.delete(keyOf(limit));
    }
    this.#limits = limits;
    this.#pools = [...new Set(limits.map(({ pool }) => pool))];
    this.#reserve(nowMs);
  }

  /** What the others are to know. */
  publish(draining: boolean): Publication {
    const pools = this.#pools.map((pool) => {
      const used = this.#limits.filter((limit) => limit.pool === pool && limit.inUse() > 0);
      const inUse = Object.fromEntries(used.map((limit) => [limit.name, limit.inUse()]));
      return [pool, { short: this.#options.isShort(pool), inUse }];
    });
    return { sequence: this.#sequence++, draining, pools: Object.fromEntries(pools) };
  }

  /** What all others have published. Returns the ids of those that are long gone. */
  heard(published: ReadonlyMap<string, string>, nowMs: number): string[] {
    const gone = this.#peers.heard(published, nowMs);
    this.#heardMs = nowMs;
    this.#move(nowMs);
    return gone;
  }

  /** Nobody could be heard this time. What was heard last holds for a while. */
  unheard(nowMs: number): void {
    if (this.isHearing(nowMs)) return;
    this.#peers.clear();
    this.#reserve(nowMs);
  }

  /** Whether the others were heard of lately. */
  isHearing(nowMs: number): boolean {
    return this.#heardMs !== undefined && nowMs - this.#heardMs < this.#options.forgetAfterMs;
  }

  /** Balancers that are there, this one included, as far as was heard. */
  present(nowMs: number): number {
    return 1 + this.#peers.present(nowMs).length;
  }

  /** How many keep the limits of this pool, this one included, as far as is known; undefined when it is not shared. */
  balancers(pool: string): number | undefined {
    return this.#pools.includes(pool) ? (this.#balancers.get(pool) ?? 1) : undefined;
  }

  /** Gives all limits back to this balancer. */
  close(): void {
    for (const limit of this.#limits) limit.reserve(0);
    this.#limits = [];
    this.#pools = [];
  }

  #move(nowMs: number): void {
    for (const [limit, input] of this.#inputs(nowMs)) {
      const key = keyOf(limit);
      const cap = nextCap(this.#capOf(limit), input);
      this.#shares.set(key, { cap, own: input.own });
      limit.reserve(reservedPlaces(cap, input));
    }
  }

  /** As `#move`, with caps as they are: time alone moves none. */
  #reserve(nowMs: number): void {
    const hears = this.isHearing(nowMs);
    for (const [limit, input] of this.#inputs(nowMs)) {
      if (hears) limit.reserve(reservedPlaces(this.#capOf(limit), input));
      else limit.reserve(limit.limit - this.#partAlone(limit));
    }
  }

  #capOf(limit: SharedLimit): number {
    return this.#shares.get(keyOf(limit))?.cap ?? limit.limit;
  }

  #partAlone({ pool, limit }: SharedLimit): number {
    return this.#options.whenUnreachable === "alone" ? limit : equalShare(limit, this.#balancers.get(pool) ?? 1);
  }

  #inputs(nowMs: number): [SharedLimit, ShareInput][] {
    const present = this.#peers.present(nowMs);
    const sharers = new Map(
      this.#pools.map((pool) => {
        const sharing = present.flatMap((peer) => (Object.hasOwn(peer.pools, pool) ? [peer] : []));
        if (this.isHearing(nowMs)) this.#balancers.set(pool, 1 + sharing.filter(({ draining }) => !draining).length);
        return [pool, sharing];
      }),
    );
    return this.#limits.map((limit) => {
      const uses = (sharers.get(limit.pool) ?? []).map(({ pools }) => pools[limit.pool]);
      const input: ShareInput = {
        limit: limit.limit,
        own: limit.inUse(),
        ownBefore: this.#shares.get(keyOf(limit))?.own ?? 0,
        others: uses.reduce((sum, use) => sum + (ownValue(use?.inUse, limit.name) ?? 0), 0),
        balancers: this.#balancers.get(limit.pool) ?? 1,
        othersShort: uses.some((use) => use?.short === true),
      };
      return [limit, input];
    });
  }
}

function keyOf({ pool, name }: SharedLimit): string {
  return `${pool} ${name}`;
}

function ownValue(counts: Readonly<Record<string, number>> | undefined, name: string): number | undefined {
  return counts !== undefined && Object.hasOwn(counts, name) ? counts[name] : undefined;
}
