/** Below this a loop is quicker than the call into native code. */
const SHORT = 24;

/** Copies `source` from `start` to `end` into `target` at `at`, which must have room. The two must not overlap. */
export function copyBytes(source: Buffer, start: number, end: number, target: Buffer, at: number): void {
  if (end - start > SHORT) {
    source.copy(target, at, start, end);
    return;
  }
  for (let cursor = start, to = at; cursor < end; cursor++, to++) target[to] = source[cursor] as number;
}
