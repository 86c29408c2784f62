/**
 * What an operator has changed while running, on top of what the configuration says. It holds over reloads; the file has
 * the last word again on what it changes itself: a state or weight it says anew, an endpoint it lists or no longer lists.
 */
import type { AdminState } from "./admin-state.ts";
import type { ResolvedEndpoint } from "./discovery.ts";
import type { PoolChanges, SavedChanges } from "./saved-changes.ts";

export interface EndpointChange {
  readonly state?: AdminState | undefined;
  readonly weight?: number | undefined;
}

export class RuntimeChanges {
  #pools: SavedChanges;

  /** `inherited`: from the process before this one. */
  constructor(inherited: SavedChanges = new Map()) {
    this.#pools = inherited;
  }

  /** `base`: as the file has it, or as it was added. */
  set(pool: string, base: ResolvedEndpoint, { state, weight }: EndpointChange): void {
    const { overrides } = this.#of(pool);
    const known = overrides.get(base.id) ?? {};
    if (state !== undefined) known.state = { value: state, file: base.state };
    if (weight !== undefined) known.weight = { value: weight, file: base.weight };
    overrides.set(base.id, known);
  }

  add(pool: string, endpoint: ResolvedEndpoint): void {
    const changes = this.#of(pool);
    changes.removed.delete(endpoint.id);
    changes.overrides.delete(endpoint.id);
    changes.added.set(endpoint.id, endpoint);
  }

  remove(pool: string, id: string): void {
    const changes = this.#of(pool);
    changes.overrides.delete(id);
    // One that was only added is simply gone; the mark is for those that the file lists.
    changes.added.delete(id);
    changes.removed.add(id);
  }

  isAdded(pool: string, id: string): boolean {
    return this.#pools.get(pool)?.added.has(id) ?? false;
  }

  /** The endpoint before its state and weight were changed. */
  base(pool: string, id: string, found: readonly ResolvedEndpoint[]): ResolvedEndpoint | undefined {
    return this.#pools.get(pool)?.added.get(id) ?? found.find((endpoint) => endpoint.id === id);
  }

  /** The endpoints of a pool as they are to be used, from those that the configuration comes to. */
  apply(pool: string, found: readonly ResolvedEndpoint[]): ResolvedEndpoint[] {
    const changes = this.#pools.get(pool);
    if (changes === undefined) return [...found];
    const { overrides, added, removed } = changes;
    const kept = found.filter(({ id }) => !removed.has(id) && !added.has(id));
    return [...kept, ...added.values()].map((endpoint) => {
      const changed = overrides.get(endpoint.id);
      if (changed === undefined) return endpoint;
      return {
        ...endpoint,
        state: changed.state?.value ?? endpoint.state,
        weight: changed.weight?.value ?? endpoint.weight,
      };
    });
  }

  /**
   * A configuration was loaded, and a pool comes to `found` by it: forgets what the file has an opinion on now.
   * `complete`: no name is still to be looked up, so what is not in `found` is not in the file.
   */
  reconcile(pool: string, found: readonly ResolvedEndpoint[], complete: boolean): void {
    const changes = this.#pools.get(pool);
    if (changes === undefined) return;
    const { overrides, added, removed } = changes;
    const listed = new Map(found.map((endpoint) => [endpoint.id, endpoint]));
    for (const id of removed) if (complete && !listed.has(id)) removed.delete(id);
    for (const id of added.keys()) if (listed.has(id)) added.delete(id);
    for (const [id, changed] of overrides) {
      const base = listed.get(id);
      if (base === undefined) {
        if (complete && !added.has(id)) overrides.delete(id);
        continue;
      }
      if (changed.state?.file !== base.state) changed.state = undefined;
      if (changed.weight?.file !== base.weight) changed.weight = undefined;
    }
  }

  /** Forgets the pools that are not among these. */
  keepOnly(pools: ReadonlySet<string>): void {
    for (const pool of this.#pools.keys()) if (!pools.has(pool)) this.#pools.delete(pool);
  }

  /** To go back to when a configuration is refused, or to leave to another process. */
  save(): SavedChanges {
    return structuredClone(this.#pools);
  }

  restore(saved: SavedChanges): void {
    this.#pools = saved;
  }

  #of(pool: string): PoolChanges {
    const known = this.#pools.get(pool) ?? { overrides: new Map(), added: new Map(), removed: new Set<string>() };
    this.#pools.set(pool, known);
    return known;
  }
}
