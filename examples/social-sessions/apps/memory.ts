/** Visitors in the memory of one instance: fast, simple, and gone with it. */
import type { Visitor, Visitors } from "./visitors.ts";

export function createMemory(): Visitors {
  const visitors = new Map<string, Visitor>();
  return {
    find: async (session) => visitors.get(session),
    keep: async (session, visitor) => void visitors.set(session, visitor),
  };
}
