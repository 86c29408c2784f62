import { describe, expect, test } from "bun:test";
import { maglev, ringHash } from "./library.ts";

describe("the balancers as a library", () => {
  test("pick among plain objects", () => {
    const endpoints = [{ id: "a" }, { id: "b", eligible: false }];
    expect(ringHash(endpoints).pick("key")).toBe(endpoints[0]);
    expect(ringHash(endpoints).pick("key", [endpoints[0]!])).toBeUndefined();
  });
  test("say which option is wrong", () => {
    expect(() => maglev([{ id: "a" }], { tableSize: 10 })).toThrow(/^tableSize: /);
    expect(() => maglev([{ id: "a" }], { size: 10 })).toThrow(/^Unrecognized key: "size"/);
  });
});
