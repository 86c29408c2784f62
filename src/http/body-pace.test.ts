import { describe, expect, test } from "bun:test";
import { BodyPace } from "./body-pace.ts";

describe("BodyPace", () => {
  test("gives ten seconds before it asks for the rate", () => {
    const pace = new BodyPace(1_000);
    expect(pace.isTooSlow(0, 240, 11_000)).toBe(false);
    expect(pace.isTooSlow(0, 240, 11_001)).toBe(true);
    expect(pace.isTooSlow(2_401, 240, 11_001)).toBe(false);
  });

  test("0 is no limit", () => expect(new BodyPace(0).isTooSlow(0, 0, 1e9)).toBe(false));

  test("time in which nothing was wanted does not count", () => {
    const pace = new BodyPace(0);
    pace.pause(1_000);
    pace.pause(2_000);
    pace.resume(101_000);
    pace.resume(200_000);
    expect(pace.isTooSlow(2_400, 240, 110_000)).toBe(false);
    expect(pace.isTooSlow(2_400, 240, 110_100)).toBe(true);
  });
});
