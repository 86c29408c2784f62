/** For parsers of the first bytes of a connection: their answer may not depend on the pieces the bytes arrive in. */
import { expect } from "bun:test";
import fc from "fast-check";
import { type Malformed, MORE } from "../../src/protocols/outcome.ts";

export type Outcome<Result extends object> = typeof MORE | Malformed | Result;

/**
 * Parses every beginning of `bytes`, each as a buffer of its own so that reading past the end throws. Checks that the
 * first verdict comes no later than its last byte and is kept by all longer beginnings, and gives it back.
 */
export function everySplit<Result extends { readonly length: number }>(
  parse: (bytes: Buffer, end: number) => Outcome<Result>,
  bytes: Buffer,
): Outcome<Result> {
  let verdict: Outcome<Result> = MORE;
  for (let end = 0; end <= bytes.length; end++) {
    const result = parse(Buffer.from(bytes.subarray(0, end)), end);
    if (verdict !== MORE) expect(result).toEqual(verdict);
    else if (result !== MORE && !("error" in result)) expect(result.length).toBe(end);
    verdict = result;
  }
  expect(parse(Buffer.concat([bytes, Buffer.alloc(64, 0x51)]), bytes.length)).toEqual(verdict);
  return verdict;
}

/** The result, for bytes that must be good. */
export function parsed<Result extends object>(outcome: Outcome<Result>): Result {
  if (outcome === MORE || "error" in outcome) throw new Error(`not parsed: ${errorOf(outcome)}`);
  return outcome as Result;
}

/** Why the bytes were refused; `more` or `parsed` when they were not. */
export function errorOf(outcome: Outcome<object>): string {
  if (outcome === MORE) return "more";
  return "error" in outcome ? (outcome as Malformed).error : "parsed";
}

/** Good bytes with one to four bytes changed, put in or taken out, or the end cut off. */
export function changed(good: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const change = fc.record({
    at: fc.nat(),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 0x0a, 0x0d, 0x16, 0x20, 0x30, 0xff)),
    how: fc.constantFrom("set", "insert", "delete", "cut"),
  });
  return fc
    .tuple(fc.constantFrom(...good), fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([start, changes]) => {
      let bytes = [...start];
      for (const { at, byte, how } of changes) {
        const place = at % (bytes.length + 1);
        if (how === "set") bytes[Math.min(place, bytes.length - 1)] = byte;
        else if (how === "cut") bytes = bytes.slice(0, Math.max(1, place));
        else if (how === "insert") bytes.splice(place, 0, byte);
        else bytes.splice(place, 1);
      }
      return Buffer.from(bytes);
    });
}
