/**
 * The access log: a line per exchange, gathered and written in batches, never waiting for the disk. Several workers append
 * to one file: a batch holds whole lines and leaves in one write.
 */
import { accessSync, closeSync, constants, openSync, statSync, write } from "node:fs";
import { dirname } from "node:path";
import { EvenkeelError } from "../base/errors.ts";
import { at } from "../base/place.ts";
import { type AccessRecord, compileFormat } from "./access-format.ts";
import type { AccessLogConfig } from "./schema.ts";

const BATCH_CHARACTERS = 32_768;
/** Lines that wait for a slow disk. More than this is dropped and counted: traffic goes before its record. */
const MAX_BACKLOG_CHARACTERS = 8 * 1_048_576;

const EXPLANATIONS: Readonly<Record<string, string>> = {
  ENOENT: "its folder is not there; make it, for the user evenkeel runs as",
  EACCES: "not writable for the user evenkeel runs as; change the owner or mode of the file or its folder",
  EISDIR: "a folder; give the path of a file",
};

/** Writes a batch and calls back; the error decides whether its lines count as lost. */
export type WriteBatch = (
  descriptor: number,
  batch: Buffer,
  done: (error: Error | null, written: number) => void,
) => void;

const writeToFile: WriteBatch = (descriptor, batch, done) => {
  write(descriptor, batch, 0, batch.length, null, (error, written) => done(error, written));
};

export class AccessLog {
  /** Lines that could not be written. */
  dropped = 0;
  readonly #path: string;
  readonly #format: (record: AccessRecord) => string;
  readonly #write: WriteBatch;
  #descriptor: number;
  #lines = "";
  #lineCount = 0;
  #queue: { batch: Buffer; lines: number }[] = [];
  #queuedBytes = 0;
  #writing = false;
  #whenIdle: (() => void) | undefined;

  /** Opens the file. Throws an EvenkeelError placed at `path` when it cannot be opened, at `format` for an unknown placeholder. */
  constructor(config: Exclude<AccessLogConfig, false>, writeBatch: WriteBatch = writeToFile) {
    this.#path = config.path;
    this.#format = at(["format"], () => compileFormat(config.format));
    this.#write = writeBatch;
    this.#descriptor = at(["path"], () => openLog(config.path));
  }

  write(record: AccessRecord): void {
    if (this.#lines.length + this.#queuedBytes > MAX_BACKLOG_CHARACTERS) {
      this.dropped++;
      return;
    }
    this.#lines += this.#format(record);
    this.#lineCount++;
    if (this.#lines.length >= BATCH_CHARACTERS) this.flush();
  }

  /** Hands what has gathered to the system; called a few times a second. */
  flush(): void {
    if (this.#lines !== "") {
      const batch = Buffer.from(this.#lines, "latin1");
      this.#queue.push({ batch, lines: this.#lineCount });
      this.#queuedBytes += batch.length;
      this.#lines = "";
      this.#lineCount = 0;
    }
    this.#writeNext();
  }

  /** Opens the file anew, after it was moved away. Throws an EvenkeelError when that fails, and keeps the old one. */
  reopen(): void {
    this.flush();
    const descriptor = openLog(this.#path);
    const old = this.#descriptor;
    this.#descriptor = descriptor;
    if (old > 2) this.#afterWriting(() => closeSync(old));
  }

  /** Writes what is left, then closes. */
  async close(): Promise<void> {
    this.flush();
    await new Promise<void>((resolve) => this.#afterWriting(resolve));
    if (this.#descriptor > 2) closeSync(this.#descriptor);
  }

  #writeNext(): void {
    const next = this.#queue[0];
    if (this.#writing || next === undefined) return;
    this.#writing = true;
    this.#write(this.#descriptor, next.batch, (error, written) => {
      this.#writing = false;
      this.#queuedBytes -= error === null ? written : next.batch.length;
      if (error === null && written < next.batch.length) next.batch = next.batch.subarray(written);
      else {
        // A full disk or a closed pipe must not stop traffic, nor fill memory with what cannot be written.
        if (error !== null) this.dropped += next.lines;
        this.#queue.shift();
      }
      if (this.#queue.length > 0) this.#writeNext();
      else {
        this.#whenIdle?.();
        this.#whenIdle = undefined;
      }
    });
  }

  #afterWriting(run: () => void): void {
    if (!this.#writing && this.#queue.length === 0) {
      run();
      return;
    }
    const before = this.#whenIdle;
    this.#whenIdle = () => {
      before?.();
      run();
    };
  }
}

/** Throws an EvenkeelError placed at `path` for what could not be opened. Nothing is opened or made. */
export function checkLogPath({ path }: Exclude<AccessLogConfig, false>): void {
  if (path === "stdout" || path === "stderr") return;
  at(["path"], () =>
    explained(path, () => {
      const found = statSync(path, { throwIfNoEntry: false });
      if (found?.isDirectory()) throw Object.assign(new Error("a folder"), { code: "EISDIR" });
      // With the slash, what is no folder cannot pass for one.
      if (found === undefined) accessSync(`${dirname(path)}/`, constants.W_OK | constants.X_OK);
      else accessSync(path, constants.W_OK);
    }),
  );
}

function openLog(path: string): number {
  if (path === "stdout") return 1;
  if (path === "stderr") return 2;
  return explained(path, () => openSync(path, "a", 0o640));
}

function explained<Value>(path: string, open: () => Value): Value {
  try {
    return open();
  } catch (error) {
    const { code } = error as { code?: string };
    const explanation = EXPLANATIONS[code ?? ""] ?? `cannot be opened (${code ?? "unknown reason"})`;
    throw new EvenkeelError(`${path}: ${explanation}`, { cause: error });
  }
}
