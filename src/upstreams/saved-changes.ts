/** What operators have changed while running, as it is kept to go back to, and written for another process. */
import { z } from "zod";
import { ADMIN_STATES, type AdminState } from "./admin-state.ts";
import type { ResolvedEndpoint } from "./discovery.ts";

/** A value set at run time, and what the file said then. */
export interface Override<Value> {
  readonly value: Value;
  readonly file: Value;
}

export interface Overrides {
  state?: Override<AdminState> | undefined;
  weight?: Override<number> | undefined;
}

export interface PoolChanges {
  readonly overrides: Map<string, Overrides>;
  readonly added: Map<string, ResolvedEndpoint>;
  readonly removed: Set<string>;
}

/** By pool. */
export type SavedChanges = Map<string, PoolChanges>;

const state = z.enum(ADMIN_STATES);
const overrides = z.object({
  state: z.object({ value: state, file: state }).optional(),
  weight: z.object({ value: z.number(), file: z.number() }).optional(),
});
const endpoint = z.object({
  id: z.string(),
  host: z.string(),
  port: z.number(),
  name: z.string(),
  weight: z.number(),
  tier: z.number(),
  maxConnections: z.number(),
  state,
});
const written = z.record(
  z.string(),
  z.object({ overrides: z.record(z.string(), overrides), added: z.array(endpoint), removed: z.array(z.string()) }),
);

export function writeChanges(changes: SavedChanges): object {
  const pools = [...changes].map(([pool, { overrides: byId, added, removed }]) => {
    return [pool, { overrides: Object.fromEntries(byId), added: [...added.values()], removed: [...removed] }] as const;
  });
  return Object.fromEntries(pools);
}

const writtenText = z
  .string()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch (error) {
      context.addIssue((error as Error).message);
      return z.NEVER;
    }
  })
  .pipe(written);

/** From the JSON text of what was written; undefined when that is something else. */
export function readChanges(text: string): SavedChanges | undefined {
  const result = writtenText.safeParse(text);
  if (!result.success) return undefined;
  const pools = Object.entries(result.data).map(([pool, { overrides: byId, added, removed }]) => {
    const changes: PoolChanges = {
      overrides: new Map(Object.entries(byId)),
      added: new Map(added.map((one) => [one.id, one])),
      removed: new Set(removed),
    };
    return [pool, changes] as const;
  });
  return new Map(pools);
}
