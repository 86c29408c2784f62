/** One of several threads that use one table at once, for session-table.test.ts. */
import { seededRandom } from "../base/random.ts";
import { SessionTable } from "./session-table.ts";

declare const self: Worker;

interface Task {
  readonly buffer: SharedArrayBuffer;
  readonly thread: number;
  readonly keys: number;
  readonly rounds: number;
  readonly nowS: number;
}

self.onmessage = ({ data }: MessageEvent<Task>) => {
  const { buffer, thread, keys, rounds, nowS } = data;
  const table = new SessionTable({ buffer, byteOffset: 0, byteLength: buffer.byteLength });
  const random = seededRandom(thread + 1);
  let found = 0;
  let mixed = 0;
  for (let round = 0; round < rounds; round++) {
    const index = random.below(keys);
    // All in one bucket, and more of them than it holds: they write over each other all the time.
    const key = { high: index, low: (index % 12) << 16 };
    if (random.below(2) === 0) table.put(key, index * 2 ** 32 + index, nowS, 100 + random.below(50));
    else {
      const tag = table.find(key, nowS, 100);
      if (tag < 0) continue;
      found++;
      if (tag !== index * 2 ** 32 + index) mixed++;
    }
  }
  self.postMessage({ found, mixed });
};
