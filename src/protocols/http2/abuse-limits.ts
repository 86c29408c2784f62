/**
 * Counts what costs us work and the peer next to nothing: resets, pings, settings and the like. Each kind has a bucket of
 * tokens that fills with time, and with useful work, so that a busy connection may do more of all of it than an idle one.
 */

/** Kinds of cheap frames. */
export const ABUSE = {
  /** RST_STREAM received, and streams that we had to reset because of what the peer sent. */
  reset: 0,
  ping: 1,
  settings: 2,
  priority: 3,
  windowUpdate: 4,
  /** DATA without data, and HEADERS without fields, that do not end a stream. */
  empty: 5,
  /** Frames of unknown types, and frames for streams that are closed. */
  ignored: 6,
} as const;
export type AbuseKind = (typeof ABUSE)[keyof typeof ABUSE];
const KINDS = 7;

export interface AbuseLimit {
  /** How many at once. */
  readonly burst: number;
  /** The time in which an empty bucket fills, in milliseconds. */
  readonly windowMs: number;
  /** Tokens for each request that ended as it should. */
  readonly perRequest: number;
  /** Tokens for each 16 KiB of DATA, sent or received. */
  readonly perDataUnit: number;
}

const limit = (burst: number, perRequest: number, perDataUnit: number): AbuseLimit => ({
  burst,
  windowMs: 10_000,
  perRequest,
  perDataUnit,
});

/**
 * By AbuseKind. WINDOW_UPDATE comes, for the stream and the connection, with every
 * half of a window, which is a few hundred bytes on small devices; PING with every round trip of some senders.
 */
export const DEFAULT_ABUSE_LIMITS: readonly AbuseLimit[] = [
  limit(100, 1, 0),
  limit(100, 1, 1),
  limit(30, 0, 0),
  limit(200, 4, 0),
  limit(400, 8, 128),
  limit(100, 1, 1),
  limit(100, 1, 1),
];

/** What `count` says: go on, or end the connection with ENHANCE_YOUR_CALM. */
export type Calm = "calm" | "excessive";

const DATA_UNIT_BYTES = 16_384;

export class AbuseLimits {
  readonly #limits: readonly AbuseLimit[];
  readonly #tokens = new Float64Array(KINDS);
  readonly #countedMs = new Float64Array(KINDS);
  // What was useful so far, and how much of it each kind has had its tokens for: those are given when the kind is counted.
  #requests = 0;
  #dataUnits = 0;
  readonly #requestsSeen = new Float64Array(KINDS);
  readonly #dataUnitsSeen = new Float64Array(KINDS);

  /** `nowMs` here and below: `Clock.now()`. */
  constructor(nowMs: number, limits: readonly AbuseLimit[] = DEFAULT_ABUSE_LIMITS) {
    this.#limits = limits;
    for (let kind = 0; kind < KINDS; kind++) {
      this.#tokens[kind] = this.#limit(kind).burst;
      this.#countedMs[kind] = nowMs;
    }
  }

  /** Counts one of a kind. */
  count(kind: AbuseKind, nowMs: number): Calm {
    const { burst, windowMs } = this.#limit(kind);
    const beforeMs = this.#countedMs[kind] as number;
    const elapsedMs = Math.max(0, nowMs - beforeMs);
    const earned = (elapsedMs * burst) / windowMs + this.#earned(kind);
    const tokens = Math.min(burst, (this.#tokens[kind] as number) + earned) - 1;
    this.#countedMs[kind] = beforeMs + elapsedMs;
    this.#tokens[kind] = Math.max(tokens, -1);
    return tokens >= 0 ? "calm" : "excessive";
  }

  /** A request came in whole, and its answer went out in whole. */
  requestDone(): void {
    this.#requests++;
  }

  /** Bytes of DATA that were sent or received. */
  dataMoved(bytes: number): void {
    this.#dataUnits += bytes / DATA_UNIT_BYTES;
  }

  /** Tokens of a kind for what was useful since it was counted last. */
  #earned(kind: number): number {
    const { perRequest, perDataUnit } = this.#limit(kind);
    const requests = this.#requests - (this.#requestsSeen[kind] as number);
    const dataUnits = this.#dataUnits - (this.#dataUnitsSeen[kind] as number);
    this.#requestsSeen[kind] = this.#requests;
    this.#dataUnitsSeen[kind] = this.#dataUnits;
    return requests * perRequest + dataUnits * perDataUnit;
  }

  #limit(kind: number): AbuseLimit {
    return this.#limits[kind] as AbuseLimit;
  }
}
