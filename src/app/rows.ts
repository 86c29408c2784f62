/**
 * Gives out rows in the shared tables by name. A name keeps its row over reloads; a row goes to another name only when
 * nothing can be counting in it any more.
 */
import { EvenkeelError } from "../base/errors.ts";

/** A worker may still be ending what it began when the name went; nothing begins anew by then. */
const REST_MS = 10_000;

export interface RowsOptions {
  readonly what: string;
  readonly capacity: number;
  readonly now: () => number;
  /** Whether something is still counted in the row. */
  readonly isBusy: (row: number) => boolean;
  readonly clear: (row: number) => void;
}

export class Rows {
  readonly #options: RowsOptions;
  readonly #rows = new Map<string, number>();
  #resting: { row: number; sinceMs: number }[] = [];
  #next = 0;

  constructor(options: RowsOptions) {
    this.#options = options;
  }

  get(name: string): number | undefined {
    return this.#rows.get(name);
  }

  /** The row of `name`, a new one if it has none. Throws an EvenkeelError when there is none left. */
  take(name: string): number {
    const known = this.#rows.get(name);
    if (known !== undefined) return known;
    const row = this.#findFree();
    this.#options.clear(row);
    this.#rows.set(name, row);
    return row;
  }

  /** Gives up every name that is not in `kept`. */
  keepOnly(kept: ReadonlySet<string>): number[] {
    const given: number[] = [];
    for (const [name, row] of this.#rows) {
      if (kept.has(name)) continue;
      this.#rows.delete(name);
      this.#resting.push({ row, sinceMs: this.#options.now() });
      given.push(row);
    }
    return given;
  }

  #findFree(): number {
    const { capacity, now, isBusy, what } = this.#options;
    const rested = this.#resting.findIndex(({ row, sinceMs }) => now() - sinceMs >= REST_MS && !isBusy(row));
    if (rested >= 0) return (this.#resting.splice(rested, 1)[0] as { row: number }).row;
    if (this.#next < capacity) return this.#next++;
    throw new EvenkeelError(
      `there can be ${capacity} ${what} at most, those of the last ${REST_MS / 1_000} seconds included`,
    );
  }
}
