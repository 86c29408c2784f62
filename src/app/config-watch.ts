/** Tells when the configuration file has been changed, where that is wanted. */
import { type FSWatcher, watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import type { Timer, Timers } from "../base/clock.ts";

/** Whoever writes it is given a moment to finish. */
const DELAY_MS = 200;

export class ConfigWatch {
  readonly #file: string | undefined;
  readonly #timers: Timers;
  readonly #onChange: () => void;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;

  /** `file` is undefined when the configuration is in none. */
  constructor(file: string | undefined, timers: Timers, onChange: () => void) {
    this.#file = file;
    this.#timers = timers;
    this.#onChange = onChange;
  }

  /** Watches from now on, or no more. Editors replace files rather than write into them, so it is the folder that is watched. */
  set(wanted: boolean): void {
    const file = this.#file;
    if (!wanted || file === undefined) return this.close();
    this.#watcher ??= watch(dirname(resolve(file)), (_event, name) => {
      if (name !== null && name !== basename(file)) return;
      this.#timer?.stop();
      this.#timer = this.#timers.after(DELAY_MS, this.#onChange);
    });
  }

  close(): void {
    this.#timer?.stop();
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
