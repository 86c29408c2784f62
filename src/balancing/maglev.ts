/**
 * Maglev: a lookup table that the endpoints fill in turns, each by its own permutation. Almost perfectly even, one array
 * access per pick. When an endpoint leaves slightly more than its own keys move. Cost: O(1); building is O(table).
 * Choose it for large pools and keyed traffic. Source: Eisenbud et al., "Maglev", NSDI 2016.
 */
import { z } from "zod";
import { hashString, mix32 } from "../base/hash.ts";
import type { BalancedEndpoint } from "./definition.ts";
import { defineAlgorithm } from "./definition.ts";
import { inOrderOfId, isOpen } from "./options.ts";

const EMPTY = 0xffffffff;

export const maglev = defineAlgorithm({
  summary: "consistent hashing through a lookup table",
  cost: "O(1)",
  keyed: true,
  weighted: true,
  options: z.strictObject({
    tableSize: z
      .int()
      .min(251)
      .max(5_000_011)
      .refine(isPrime, "expected a prime number such as 65537")
      .default(65_537)
      .describe("Entries of the table, a prime; a hundred times the number of endpoints is even to about one percent."),
  }),
  build(listed, { tableSize }) {
    const endpoints = inOrderOfId(listed);
    let table = fillTable(endpoints, tableSize);
    return {
      pick(key, tried) {
        const mixed = mix32(key);
        let slot = mixed % tableSize;
        // The keys of an endpoint that is out are spread over the others, each key always to the same one.
        for (let step = 1; step <= 16; step++) {
          const endpoint = endpoints[table[slot] as number];
          if (endpoint === undefined) return undefined;
          if (isOpen(endpoint, tried)) return endpoint;
          slot = mix32(mixed + Math.imul(step, 0x9e3779b1)) % tableSize;
        }
        let index = mixed % endpoints.length;
        for (let step = 0; step < endpoints.length; step++) {
          const endpoint = endpoints[index]!;
          if (isOpen(endpoint, tried)) return endpoint;
          index = index + 1 === endpoints.length ? 0 : index + 1;
        }
        return undefined;
      },
      onWeightChanged() {
        table = fillTable(endpoints, tableSize);
      },
    };
  },
});

function fillTable(endpoints: readonly BalancedEndpoint[], size: number): Uint32Array {
  const table = new Uint32Array(size).fill(EMPTY);
  const heaviest = endpoints.reduce((most, endpoint) => Math.max(most, endpoint.weight), 0);
  if (heaviest === 0) return table;
  const next = endpoints.map(({ id }) => hashString(id, 0x51ed) % size);
  const skip = endpoints.map(({ id }) => (hashString(id, 0x2f3a) % (size - 1)) + 1);
  const credit = endpoints.map(() => 0);
  for (let filled = 0; ; ) {
    for (let index = 0; index < endpoints.length; index++) {
      // Weights by turns: a turn is taken whenever as much weight has gathered as the heaviest has.
      credit[index] = (credit[index] as number) + endpoints[index]!.weight;
      if ((credit[index] as number) < heaviest) continue;
      credit[index] = (credit[index] as number) - heaviest;
      let slot = next[index] as number;
      while (table[slot] !== EMPTY) slot = (slot + (skip[index] as number)) % size;
      table[slot] = index;
      next[index] = (slot + (skip[index] as number)) % size;
      if (++filled === size) return table;
    }
  }
}

function isPrime(value: number): boolean {
  if (value < 2) return false;
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
}
