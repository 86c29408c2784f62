/** Heads to use again: a head is needed from the first byte of a message until its exchange ends, and costs an array. */
import { Head } from "../protocols/http1/head.ts";

const MAX_KEPT = 1_024;
const NO_BYTES = Buffer.alloc(0);
const free: Head[] = [];

export function takeHead(bytes: Buffer, start: number): Head {
  const head = free.pop() ?? new Head();
  head.reset(bytes, start);
  return head;
}

/** The caller must not use `head` any more. */
export function releaseHead(head: Head): void {
  head.bytes = NO_BYTES;
  if (free.length < MAX_KEPT) free.push(head);
}
