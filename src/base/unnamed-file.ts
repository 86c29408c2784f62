/** Files in memory that have no name: gone with the last process that has them open, however that ends. */
import { openSync, readFileSync, unlinkSync, writeSync } from "node:fs";

const FOLDER = "/dev/shm";

/** `label` is for people who look at a process's open files. The descriptor is to be closed by the caller. */
export function openUnnamedFile(label: string): number {
  const path = `${FOLDER}/evenkeel-${label}-${process.pid}-${crypto.randomUUID()}`;
  const descriptor = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  return descriptor;
}

/** One that holds `text`. */
export function unnamedFileOf(label: string, text: string): number {
  const descriptor = openUnnamedFile(label);
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
  return descriptor;
}

/** All that is in it, wherever its other users have read or written last. */
export function readUnnamedFile(descriptor: number): string {
  return readFileSync(pathOf(descriptor), "utf8");
}

/** Where it can be opened again, by this process. */
export function pathOf(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}
