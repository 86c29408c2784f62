import { expect, test } from "bun:test";
import { EvenkeelError } from "./errors.ts";
import { at, atEach, PlacedError, pathText } from "./place.ts";

function thrownBy(build: () => unknown): unknown {
  try {
    return build();
  } catch (error) {
    return error;
  }
}

function refuse(): never {
  throw new EvenkeelError("site.pem: no such file");
}

test("a place is written as in the file", () => {
  expect(pathText(["listeners", "web", "tls", "certificates", 0, "key"])).toBe("listeners.web.tls.certificates[0].key");
  expect(pathText(["pools", "my.app"])).toBe('pools["my.app"]');
  expect(pathText([])).toBe("");
});

test("an error gets its place from the inside out", () => {
  const error = thrownBy(() => at(["listeners", "web"], () => at(["tls"], () => at(["certificates", 0], refuse))));
  expect(error).toBeInstanceOf(PlacedError);
  expect(error).toMatchObject({
    path: ["listeners", "web", "tls", "certificates", 0],
    reason: "site.pem: no such file",
    message: "listeners.web.tls.certificates[0]: site.pem: no such file",
  });
});

test("a mistake of ours gets none", () => {
  const error = new TypeError("undefined is not a function");
  const fail = (): never => {
    throw error;
  };
  expect(thrownBy(() => at(["listeners"], fail))).toBe(error);
});

test("of several the number is told, not of one that stands alone", () => {
  const messageOf = (items: readonly string[]): string =>
    (thrownBy(() => at(["ca"], () => atEach(items, (item) => (item === "good" ? item : refuse())))) as Error).message;
  expect(messageOf(["good", "bad"])).toBe("ca[1]: site.pem: no such file");
  expect(messageOf(["bad"])).toBe("ca: site.pem: no such file");
  expect(atEach(["good"], (item) => item.length)).toEqual([4]);
});
