/** Lets a bounded number of probes run at the same time; the others wait their turn. */

const MAX_PROBES = 64;

/** Who wants to probe. `isGone`: not any more. */
export interface ProbeTurn {
  readonly isGone: () => boolean;
  readonly run: () => Promise<void>;
}

export class ProbeTurns {
  readonly #waiting: ProbeTurn[] = [];
  #running = 0;

  take(turn: ProbeTurn): void {
    if (this.#running >= MAX_PROBES) this.#waiting.push(turn);
    else this.#run(turn);
  }

  clear(): void {
    this.#waiting.length = 0;
  }

  #run(turn: ProbeTurn): void {
    this.#running++;
    void turn.run().finally(() => {
      this.#running--;
      let next = this.#waiting.shift();
      while (next?.isGone() === true) next = this.#waiting.shift();
      if (next !== undefined) this.#run(next);
    });
  }
}
