import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { equalShare, nextCap, reservedPlaces, type ShareInput } from "./limit-share.ts";

const alone: ShareInput = { limit: 100, own: 0, ownBefore: 0, others: 0, balancers: 1, othersShort: false };

describe("what one of several may use", () => {
  test("alone it is all of it", () => {
    expect(nextCap(100, alone)).toBe(100);
    expect(reservedPlaces(100, alone)).toBe(0);
  });

  test("each has an equal part at once; all parts together are the limit", () => {
    const input = { ...alone, balancers: 4 };
    expect(nextCap(100, input)).toBe(25);
    expect(reservedPlaces(25, input)).toBe(75);
  });

  test("beyond its part it may double what it uses, as far as the others leave it", () => {
    const input = { ...alone, balancers: 4, own: 25, ownBefore: 25 };
    expect(nextCap(25, input)).toBe(50);
    expect(nextCap(50, { ...input, own: 50, ownBefore: 50 })).toBe(100);
    expect(reservedPlaces(100, { ...input, own: 50, others: 30 })).toBe(30);
    // For an interval it has to be in use: the others may be in the same rush.
    expect(nextCap(25, { ...input, ownBefore: 0 })).toBe(25);
  });

  test("while others are short it goes back to its part, an eighth at a time", () => {
    const input = { ...alone, balancers: 2, own: 100, others: 0, othersShort: true };
    expect(nextCap(100, input)).toBe(87);
    expect(nextCap(87, { ...input, own: 87, others: 13 })).toBe(74);
    expect(nextCap(60, { ...input, own: 60, others: 40 })).toBe(50);
    expect(nextCap(50, { ...input, own: 50, others: 50 })).toBe(50);
  });

  test("a limit smaller than the number of balancers leaves each a place, when it is free", () => {
    expect(equalShare(2, 5)).toBe(1);
    const input = { ...alone, limit: 2, balancers: 5, others: 2 };
    expect(reservedPlaces(nextCap(2, input), input)).toBe(2);
  });

  test("property: places are reserved within the limit, those that others have always", () => {
    const counts = fc.record({
      limit: fc.integer({ min: 1, max: 500 }),
      own: fc.nat(600),
      ownBefore: fc.nat(600),
      others: fc.nat(600),
      balancers: fc.integer({ min: 1, max: 9 }),
      othersShort: fc.boolean(),
    });
    fc.assert(
      fc.property(counts, fc.nat(600), (input, cap) => {
        const next = nextCap(cap, input);
        const reserved = reservedPlaces(next, input);
        expect(next).toBeGreaterThanOrEqual(equalShare(input.limit, input.balancers));
        expect(next).toBeLessThanOrEqual(input.limit);
        expect(reserved).toBeGreaterThanOrEqual(Math.min(input.limit, input.others));
        expect(reserved).toBeLessThanOrEqual(input.limit);
      }),
    );
  });
});
