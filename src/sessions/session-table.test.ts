import { describe, expect, test } from "bun:test";
import { seededRandom } from "../base/random.ts";
import { localRegion } from "../base/shared-memory.ts";
import { MAX_SESSIONS, type SessionKey, SessionTable } from "./session-table.ts";

const NOW_S = 1_767_225_600;
const TTL_S = 1_800;
const newTable = (): SessionTable => new SessionTable(localRegion(SessionTable.bytes()));
const random = seededRandom(7);
const randomKey = (): SessionKey => ({ high: random.below(2 ** 31) | 0, low: -random.below(2 ** 31) | 0 });

test("a session is found with its endpoint, and no other is", () => {
  const table = newTable();
  const key = { high: 5, low: -7 };
  expect(table.find(key, NOW_S, TTL_S)).toBe(-1);
  for (const tag of [0, 1, 0xffff_ffff, 2 ** 32, 2 ** 48 - 1, Number.MAX_SAFE_INTEGER]) {
    expect(table.put(key, tag, NOW_S, TTL_S)).toBeFalse();
    expect(table.find(key, NOW_S, TTL_S)).toBe(tag);
  }
  expect(table.find({ high: 6, low: -7 }, NOW_S, TTL_S)).toBe(-1);
  expect(table.count(NOW_S)).toBe(1);
});

test("memory that was never written to holds nothing, not even the key 0", () => {
  expect(newTable().find({ high: 0, low: 0 }, NOW_S, TTL_S)).toBe(-1);
});

test("a session ends its time to live after it was last used", () => {
  const table = newTable();
  const key = { high: 1, low: 1 };
  table.put(key, 9, NOW_S, TTL_S);
  expect(table.find(key, NOW_S + TTL_S - 1, TTL_S)).toBe(9);
  expect(table.find(key, NOW_S + 2 * TTL_S - 2, TTL_S)).toBe(9);
  expect(table.find(key, NOW_S + 4 * TTL_S, TTL_S)).toBe(-1);
  expect(table.count(NOW_S + 4 * TTL_S)).toBe(0);
});

test("expiry beyond 2038 is in order", () => {
  const table = newTable();
  const lateS = 2 ** 31 + 5;
  table.put({ high: 1, low: 1 }, 9, lateS, TTL_S);
  expect(table.find({ high: 1, low: 1 }, lateS + 1, TTL_S)).toBe(9);
});

test("a full bucket gives up what would have expired first", () => {
  const table = newTable();
  const key = (index: number): SessionKey => ({ high: index, low: 0x10000 * index + 3 });
  for (let index = 0; index < 8; index++) expect(table.put(key(index), index, NOW_S, 100 - index)).toBeFalse();
  expect(table.put(key(8), 8, NOW_S, 100)).toBeTrue();
  expect(table.find(key(7), NOW_S, 1)).toBe(-1);
  for (const index of [0, 1, 2, 3, 4, 5, 6, 8]) expect(table.find(key(index), NOW_S, 1)).toBe(index);
});

test("an expired session makes room before one that lives", () => {
  const table = newTable();
  const key = (index: number): SessionKey => ({ high: index, low: 0x10000 * index });
  for (let index = 0; index < 8; index++) table.put(key(index), index, NOW_S, index === 4 ? 5 : 100);
  expect(table.put(key(8), 8, NOW_S + 10, 100)).toBeFalse();
  expect(table.find(key(4), NOW_S + 10, 1)).toBe(-1);
  expect(table.find(key(8), NOW_S + 10, 1)).toBe(8);
});

test("an eighth of a million sessions hardly displace each other", () => {
  const table = newTable();
  let displaced = 0;
  const keys = Array.from({ length: MAX_SESSIONS / 4 }, randomKey);
  keys.forEach((key, index) => {
    if (table.put(key, index, NOW_S, TTL_S)) displaced++;
  });
  expect(displaced).toBeLessThan(keys.length / 1_000);
  expect(table.count(NOW_S)).toBe(keys.length - displaced);
});

describe("what a writer left unfinished counts as free", () => {
  test.each([0, 1, 2, 3, 4, 5])("after %d words", (written) => {
    const region = localRegion(SessionTable.bytes());
    const table = new SessionTable(region);
    const key = { high: 77, low: 0 };
    const other = { high: 78, low: 0 };
    table.put(other, 2, NOW_S, TTL_S);
    const words = new Int32Array(region.buffer, 32, 8);
    const whole = words.slice();
    table.put(key, 1, NOW_S, TTL_S);
    // The first slot, begun anew for `key` by a worker that died.
    const begun = [key.high, key.low, 0, 1, NOW_S + TTL_S + 1, 0];
    words.set(whole);
    words.set(begun.slice(0, written));
    if (written > 0) expect(table.find(other, NOW_S, TTL_S)).toBe(-1);
    table.put(other, 3, NOW_S, TTL_S);
    expect(table.find(other, NOW_S, TTL_S)).toBe(3);
    expect(table.find(key, NOW_S, TTL_S)).toBe(1);
  });
});

test("threads that write to the same few sessions leave whole ones", async () => {
  const buffer = new SharedArrayBuffer(SessionTable.bytes());
  const threads = 3;
  const keys = 64;
  const script = new URL("./session-table.thread.ts", import.meta.url).href;
  const workers = Array.from({ length: threads }, () => new Worker(script));
  const results = await Promise.all(
    workers.map(
      (worker, thread) =>
        new Promise<{ found: number; mixed: number }>((resolve) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.postMessage({ buffer, thread, keys, rounds: 20_000, nowS: NOW_S });
        }),
    ),
  );
  for (const worker of workers) worker.terminate();
  for (const { found, mixed } of results) {
    expect(mixed).toBe(0);
    expect(found).toBeGreaterThan(1_000);
  }
  const table = new SessionTable({ buffer, byteOffset: 0, byteLength: buffer.byteLength });
  expect(table.count(NOW_S)).toBeLessThanOrEqual(keys + 8);
}, 30_000);
