/**
 * What becomes of bugs that nobody has caught. One costs as little as possible: it is told, and the process goes on, since
 * ending it would end everybody's connections. But when there are many, what it knows is not to be trusted any more: it
 * ends, and whoever has started it starts another.
 */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../observability/log.ts";

const WINDOW_MS = 60_000;
/** Told with all there is to know of them in one window; of further ones just the number. */
const MOST_TOLD = 10;
/** In one window, before the process ends. Those that ended only their own connection do not count: clients could bring them about. */
const MOST_UNCAUGHT = 10;
/** sysexits.h: an internal error. */
const EXIT_FAULTS = 70;

export interface FaultGuardOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the process. */
  readonly exit: (code: number) => void;
}

export class FaultGuard {
  readonly #options: FaultGuardOptions;
  #windowMs = Number.NEGATIVE_INFINITY;
  #told = 0;
  #untold = 0;
  #uncaught = 0;

  constructor(options: FaultGuardOptions) {
    this.#options = options;
  }

  /** Takes what nobody else catches in this process, from now on. */
  install(): void {
    process.on("uncaughtException", (error) => this.uncaught(error));
    process.on("unhandledRejection", (reason) => this.uncaught(reason));
  }

  uncaught(error: unknown): void {
    this.#tell("a fault of evenkeel", error);
    if (++this.#uncaught <= MOST_UNCAUGHT) return;
    this.#options.log.error("too many faults: this process ends", { faults: this.#uncaught });
    this.#options.exit(EXIT_FAULTS);
  }

  /** The connection where it happened has been closed. */
  ofConnection(error: unknown): void {
    this.#tell("a fault of evenkeel ended a connection", error);
  }

  #tell(message: string, error: unknown): void {
    const { clock, log } = this.#options;
    const nowMs = clock.now();
    if (nowMs - this.#windowMs >= WINDOW_MS) this.#begin(nowMs);
    if (++this.#told > MOST_TOLD) {
      this.#untold++;
      return;
    }
    log.error(message, { stack: error instanceof Error ? error.stack : String(error) });
  }

  #begin(nowMs: number): void {
    if (this.#untold > 0) this.#options.log.error("further faults of evenkeel were not told", { faults: this.#untold });
    this.#windowMs = nowMs;
    this.#told = 0;
    this.#untold = 0;
    this.#uncaught = 0;
  }
}
