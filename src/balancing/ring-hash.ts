/**
 * Consistent hashing on a ring: every endpoint has many points on a circle of 2^32, a key belongs to the next point.
 * When an endpoint leaves only its own keys move. Cost: O(log(n x points)). Choose it for caches and sessions; maglev is
 * more even and faster to look up, the ring moves fewer keys. With `boundedLoad` no endpoint gets more than that share of
 * the average load: what is over goes on to the next point (Mirrokni, Thorup, Zadimoghaddam, 2016).
 * Points follow libketama: four from each MD5 of `id-number`.
 */
import { z } from "zod";
import { hashString, mix32 } from "../base/hash.ts";
import { slotsOf } from "./bounded-load.ts";
import type { BalancedEndpoint } from "./definition.ts";
import { defineAlgorithm } from "./definition.ts";
import { inOrderOfId, isOpen } from "./options.ts";

const MAX_POINTS = 8_000_000;

export const ringHash = defineAlgorithm({
  summary: "consistent hashing on a ring of points",
  cost: "O(log n)",
  keyed: true,
  weighted: true,
  options: z.strictObject({
    points: z
      .int()
      .min(1)
      .max(10_000)
      .default(160)
      .describe("Points per unit of weight; more are more even and take more memory."),
    hash: z
      .enum(["md5", "fast"])
      .default("md5")
      .describe("How points are placed: `md5` as libketama does, `fast` builds several times quicker."),
    boundedLoad: z
      .int()
      .min(0)
      .max(10_000)
      .default(0)
      .describe("Most load of one endpoint, in percent of the average (125 is usual); 0 for no bound."),
  }),
  build(listed, { points, hash, boundedLoad }) {
    const endpoints = inOrderOfId(listed);
    let ring = buildRing(endpoints, points, hash);
    return {
      pick(key, tried) {
        const { positions, owners } = ring;
        const count = positions.length;
        if (count === 0) return undefined;
        let at = firstAtOrAfter(positions, mix32(key));
        let fallback = -1;
        for (let step = 0; step < count; step++) {
          const index = owners[at] as number;
          const endpoint = endpoints[index]!;
          if (isOpen(endpoint, tried)) {
            if (boundedLoad === 0 || endpoint.active < slotsOf(endpoints, index, boundedLoad)) return endpoint;
            if (fallback < 0) fallback = index;
          }
          at = at + 1 === count ? 0 : at + 1;
        }
        return fallback < 0 ? undefined : endpoints[fallback];
      },
      onWeightChanged() {
        ring = buildRing(endpoints, points, hash);
      },
    };
  },
});

interface Ring {
  /** Sorted. */
  readonly positions: Uint32Array;
  /** Index of the endpoint that owns the position of the same index. */
  readonly owners: Uint32Array;
}

function buildRing(endpoints: readonly BalancedEndpoint[], points: number, hash: "md5" | "fast"): Ring {
  const total = endpoints.reduce((sum, endpoint) => sum + endpoint.weight * points, 0);
  const scale = total > MAX_POINTS ? MAX_POINTS / total : 1;
  const pairs: { position: number; owner: number }[] = [];
  endpoints.forEach((endpoint, owner) => {
    const count = Math.max(endpoint.weight > 0 ? 1 : 0, Math.round(endpoint.weight * points * scale));
    for (const position of hash === "md5" ? ketamaPoints(endpoint.id, count) : fastPoints(endpoint.id, count))
      pairs.push({ position, owner });
  });
  // Equal points go to the smaller id.
  pairs.sort((a, b) => a.position - b.position || a.owner - b.owner);
  return {
    positions: Uint32Array.from(pairs, (pair) => pair.position),
    owners: Uint32Array.from(pairs, (pair) => pair.owner),
  };
}

/** libketama: MD5 of `id-k` gives four little-endian 32-bit points. */
export function ketamaPoints(id: string, count: number): number[] {
  const result: number[] = [];
  for (let block = 0; result.length < count; block++) {
    const digest = new Bun.CryptoHasher("md5").update(`${id}-${block}`).digest();
    for (let part = 0; part < 4 && result.length < count; part++) result.push(digest.readUInt32LE(part * 4));
  }
  return result;
}

function fastPoints(id: string, count: number): number[] {
  const base = hashString(id);
  return Array.from({ length: count }, (_, point) => mix32(base ^ mix32(Math.imul(point + 1, 0x9e3779b1))));
}

/** Binary search; behind the last point the circle begins anew. */
function firstAtOrAfter(positions: Uint32Array, wanted: number): number {
  let low = 0;
  let high = positions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((positions[middle] as number) < wanted) low = middle + 1;
    else high = middle;
  }
  return low === positions.length ? 0 : low;
}
