/**
 * Counters and histograms of the data path, in memory shared by all workers. Each worker writes only its own block, so
 * an increment is a plain addition; readers sum the blocks, so totals are exact and survive a worker's death.
 *
 * A metric is a row (which listener, route, ...) and a field (what is counted). Rows are given out by the supervisor.
 */
import { ERRORS, type ErrorCode } from "../base/errors.ts";
import type { Region } from "../base/shared-memory.ts";

/** Upper bounds of the duration buckets, in milliseconds; one more bucket takes what is slower. */
export const DURATION_BUCKETS_MS = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
] as const;
const BUCKETS = DURATION_BUCKETS_MS.length + 1;
/** A histogram takes its buckets, then the sum in milliseconds. */
export const HISTOGRAM_FIELDS = BUCKETS + 1;

/** Fields of a listener's row; `handshakes` are those of TLS that were completed. */
export const LISTENER = {
  connections: 0,
  open: 1,
  requests: 2,
  bytesIn: 3,
  bytesOut: 4,
  rejected: 5,
  datagramsIn: 6,
  datagramsOut: 7,
  datagramsDropped: 8,
  handshakes: 9,
  handshakesResumed: 10,
  handshakesFailed: 11,
} as const;
/** Fields of a route's row: answers by class of status (0 for none sent), then the duration of whole exchanges. */
export const ROUTE = { statusClass: 0, duration: 6 } as const;
/** Fields of a pool's row. */
export const POOL = {
  retries: 0,
  queued: 1,
  waiting: 2,
  refused: 3,
  sessionsNew: 4,
  sessionsKept: 5,
  sessionsMoved: 6,
  sessionsRefused: 7,
  sessionsDisplaced: 8,
  sessionFallbacks: 9,
  retriesOverBudget: 10,
  circuitsOpened: 11,
  panicked: 12,
  fellBack: 13,
  hedges: 14,
  hedgesWon: 15,
} as const;
/** Fields of an endpoint's row; `firstByte` is the time from sending to the first byte of the answer. */
export const ENDPOINT = {
  attempts: 0,
  failures: 1,
  connectionsOpened: 2,
  connectionsOpen: 3,
  bytesIn: 4,
  bytesOut: 5,
  firstByte: 6,
} as const;

interface KindShape {
  readonly rows: number;
  readonly fields: number;
}

/** The kinds of rows. `reason` has one row per error code, with one field. */
export const KINDS = {
  listener: { rows: 256, fields: 12 },
  route: { rows: 16_384, fields: ROUTE.duration + HISTOGRAM_FIELDS },
  pool: { rows: 4_096, fields: 16 },
  endpoint: { rows: 16_384, fields: ENDPOINT.firstByte + HISTOGRAM_FIELDS },
  reason: { rows: 64, fields: 1 },
} as const satisfies Record<string, KindShape>;
export type Kind = keyof typeof KINDS;

const KIND_START = kindStarts();
const CELLS_PER_WORKER = Object.values(KINDS).reduce((cells, kind) => cells + kind.rows * kind.fields, 0);

export const REASONS = Object.keys(ERRORS) as ErrorCode[];
const REASON_ROW = new Map(REASONS.map((code, row) => [code, row]));

export class MetricsTable {
  readonly workers: number;
  readonly #blocks: Float64Array[];

  static bytes(workers: number): number {
    return workers * CELLS_PER_WORKER * 8;
  }

  constructor(region: Region, workers: number) {
    this.workers = workers;
    this.#blocks = Array.from(
      { length: workers },
      (_, worker) =>
        new Float64Array(region.buffer, region.byteOffset + worker * CELLS_PER_WORKER * 8, CELLS_PER_WORKER),
    );
  }

  /** What one worker may write. */
  writer(worker: number): MetricsWriter {
    return new MetricsWriter(this.#blocks[worker]!);
  }

  /** Exact sum over the workers. */
  read(kind: Kind, row: number, field: number): number {
    const cell = cellOf(kind, row, field);
    let sum = 0;
    for (const block of this.#blocks) sum += block[cell] as number;
    return sum;
  }

  /** Forgets a row, before it is given to another listener, route, pool or endpoint. */
  clearRow(kind: Kind, row: number): void {
    const start = cellOf(kind, row, 0);
    for (const block of this.#blocks) block.fill(0, start, start + KINDS[kind].fields);
  }

  /** A dead worker has no open connections any more; what it counted stays. */
  resetGauges(worker: number): void {
    const block = this.#blocks[worker]!;
    for (let row = 0; row < KINDS.listener.rows; row++) block[cellOf("listener", row, LISTENER.open)] = 0;
    for (let row = 0; row < KINDS.pool.rows; row++) block[cellOf("pool", row, POOL.waiting)] = 0;
    for (let row = 0; row < KINDS.endpoint.rows; row++) block[cellOf("endpoint", row, ENDPOINT.connectionsOpen)] = 0;
  }
}

/** One worker's own block. `cell` is looked up once, when a snapshot is built; `add` is hot. */
export class MetricsWriter {
  readonly cells: Float64Array;

  constructor(cells: Float64Array) {
    this.cells = cells;
  }

  /** First cell of a row; fields follow it. */
  static rowStart(kind: Kind, row: number): number {
    return cellOf(kind, row, 0);
  }

  add(cell: number, amount: number): void {
    this.cells[cell] = (this.cells[cell] as number) + amount;
  }

  /** Counts one observation into the histogram that starts at `cell`. */
  observe(cell: number, durationMs: number): void {
    let bucket = 0;
    while (bucket < DURATION_BUCKETS_MS.length && durationMs > (DURATION_BUCKETS_MS[bucket] as number)) bucket++;
    this.add(cell + bucket, 1);
    this.add(cell + BUCKETS, durationMs);
  }

  countReason(code: ErrorCode): void {
    this.add(KIND_START.reason + (REASON_ROW.get(code) as number), 1);
  }
}

function cellOf(kind: Kind, row: number, field: number): number {
  return KIND_START[kind] + row * KINDS[kind].fields + field;
}

function kindStarts(): Record<Kind, number> {
  let start = 0;
  const starts = {} as Record<Kind, number>;
  for (const [kind, shape] of Object.entries(KINDS) as [Kind, KindShape][]) {
    starts[kind] = start;
    start += shape.rows * shape.fields;
  }
  return starts;
}
