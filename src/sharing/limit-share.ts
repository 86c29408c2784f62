/**
 * How much of a limit one of several balancers may use, when each knows what the others had in use a moment ago. Two things
 * are wanted of it: that together they do not exceed the limit, and that nobody who has it all keeps it from the others.
 */

export interface ShareInput {
  readonly limit: number;
  /** In use here. */
  readonly own: number;
  /** In use here the time before. */
  readonly ownBefore: number;
  /** In use by all others. */
  readonly others: number;
  /** That begin new things, this one included: 1 or more. */
  readonly balancers: number;
  /** Another one has had to refuse somebody or let him wait. */
  readonly othersShort: boolean;
}

/** Of the limit, what is given up at a time for others: small steps, since they may need little. */
const STEPS_DOWN = 8;

/** An equal part, and something in any case. */
export function equalShare(limit: number, balancers: number): number {
  return Math.max(1, Math.floor(limit / balancers));
}

/**
 * The most that may be in use here until the next time, `cap` being the most so far. An equal part is there for everyone at
 * once, so that a rush at all of them together meets parts that add up to the limit. Beyond it a balancer may double what
 * it has used for a whole interval: in that time the others had to tell if they were in the same rush. While others are
 * short it goes back to its part, step by step.
 */
export function nextCap(cap: number, { limit, own, ownBefore, balancers, othersShort }: ShareInput): number {
  const part = equalShare(limit, balancers);
  if (!othersShort) return Math.min(limit, Math.max(part, Math.min(own, ownBefore) * 2));
  return Math.max(part, Math.min(cap, own, limit) - Math.ceil(limit / STEPS_DOWN));
}

/** Places of the limit that are not to be used here: those that others have, and those that `cap` leaves to them. */
export function reservedPlaces(cap: number, { limit, others }: ShareInput): number {
  return Math.min(limit, Math.max(others, limit - cap, 0));
}
