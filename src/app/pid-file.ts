/** The file that names the running process, for service managers and for people who send signals. */
import { readFileSync, readlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { EvenkeelError } from "../base/errors.ts";

export class PidFile {
  readonly #path: string | undefined;

  /** Does nothing when there is no path. */
  constructor(path: string | undefined) {
    this.#path = path;
  }

  /** Throws an EvenkeelError when the file names another evenkeel that is running. `predecessor` is the one to be replaced. */
  check(predecessor: number | undefined): void {
    const pid = this.#read();
    if (pid === undefined || pid === process.pid || pid === predecessor || !isRunningEvenkeel(pid)) return;
    throw new EvenkeelError(`the pid file ${this.#path} names process ${pid}, which is running: stop it first`);
  }

  /** Throws an EvenkeelError when it cannot be written. */
  write(): void {
    if (this.#path === undefined) return;
    try {
      writeFileSync(this.#path, `${process.pid}\n`);
    } catch (error) {
      throw new EvenkeelError(`cannot write the pid file: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Removes the file, unless it names another process by now. */
  remove(): void {
    if (this.#path === undefined || this.#read() !== process.pid) return;
    try {
      unlinkSync(this.#path);
    } catch {
      // Somebody was quicker, or the folder is not ours to change.
    }
  }

  #read(): number | undefined {
    if (this.#path === undefined) return undefined;
    try {
      const text = readFileSync(this.#path, "utf8").trim();
      return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined;
    } catch {
      return undefined;
    }
  }
}

/** A file that outlived a crash may name a number that some other program has got since. */
function isRunningEvenkeel(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  try {
    return programOf(String(pid)) === programOf("self");
  } catch (error) {
    // Another user's process does not show what it runs.
    return (error as NodeJS.ErrnoException).code === "EACCES";
  }
}

function programOf(pid: string): string {
  // Replaced by an upgrade, the file that it was started from is shown as deleted.
  return basename(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ""));
}
