/** Where chance comes from. Passed in, so that tests and the simulator can repeat a run from its seed. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, bound). `bound` must be positive. */
  below(bound: number): number;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  below: (bound) => (Math.random() * bound) | 0,
};

/** A repeatable generator (Mulberry32). Good enough to choose endpoints and jitter; not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return { next, below: (bound) => (next() * bound) | 0 };
}
