/** Draws a few different endpoints and lets a comparison choose: the core of the power-of-choices algorithms. */
import type { Random } from "../base/random.ts";
import type { BalancedEndpoint } from "./definition.ts";
import { isOpen } from "./options.ts";

/** Draws that hit the wrong endpoint before giving up on chance and looking at all of them. */
const MAX_MISSES = 8;

/**
 * The best of `choices` open endpoints drawn at random; `worse(a, b)` is positive when a is the worse one. With few open
 * endpoints among many it looks at all of them. O(choices) in the usual case.
 */
export function bestOfSample<E extends BalancedEndpoint>(
  endpoints: readonly E[],
  choices: number,
  random: Random,
  tried: readonly E[] | undefined,
  worse: (a: E, b: E) => number,
): E | undefined {
  let best: E | undefined;
  let bestIndex = -1;
  let drawn = 0;
  let misses = 0;
  const count = endpoints.length;
  while (drawn < choices && misses < MAX_MISSES && count > 0) {
    let index = random.below(count);
    // A second draw of the same one would choose between an endpoint and itself.
    if (index === bestIndex) index = index + 1 === count ? 0 : index + 1;
    const endpoint = endpoints[index]!;
    if (index === bestIndex || !isOpen(endpoint, tried)) {
      misses++;
      continue;
    }
    drawn++;
    if (best === undefined || worse(best, endpoint) > 0) {
      best = endpoint;
      bestIndex = index;
    }
  }
  return drawn === choices ? best : bestOfAll(endpoints, random, tried, worse);
}

/** The best of all open endpoints, beginning anywhere so that equals share. */
export function bestOfAll<E extends BalancedEndpoint>(
  endpoints: readonly E[],
  random: Random,
  tried: readonly E[] | undefined,
  worse: (a: E, b: E) => number,
): E | undefined {
  const count = endpoints.length;
  if (count === 0) return undefined;
  let best: E | undefined;
  let index = random.below(count);
  for (let step = 0; step < count; step++) {
    const endpoint = endpoints[index]!;
    if (isOpen(endpoint, tried) && (best === undefined || worse(best, endpoint) > 0)) best = endpoint;
    index = index + 1 === count ? 0 : index + 1;
  }
  return best;
}
