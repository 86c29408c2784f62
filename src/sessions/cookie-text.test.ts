import { describe, expect, test } from "bun:test";
import { changeCookie, setCookieValue, withSetCookieValue } from "./cookie-text.ts";

describe("changing a cookie leaves the others as they are", () => {
  const cases: [string, string, string][] = [
    ["alone", "id=x", "id=[x]"],
    ["in the middle", "a=1; id=x; b=2", "a=1; id=[x]; b=2"],
    ["without blanks", "a=1;id=x;b=2", "a=1;id=[x];b=2"],
    ["twice", "id=x; id=y", "id=[x]; id=[y]"],
    ["in quotes", 'id="x"', "id=[x]"],
    ["with = in its value", "id=x=y=", "id=[x=y=]"],
    ["a name that only ends like it", "grid=x; id2=y", "grid=x; id2=y"],
    ["no pair at all", "id; ; =", "id; ; ="],
    ["empty", "id=", "id=[]"],
  ];
  for (const [name, header, expected] of cases)
    test(name, () => expect(changeCookie(header, "id", (value) => `[${value}]`)).toBe(expected));
});

describe("the value that Set-Cookie gives", () => {
  const cases: [string, string, string | undefined, string][] = [
    ["alone", "id=x", "x", "id=NEW"],
    ["with attributes", "id=x; Path=/; HttpOnly", "x", "id=NEW; Path=/; HttpOnly"],
    ["with blanks", "id = x ; Path=/", "x", "id =NEW; Path=/"],
    ["in quotes", 'id="x"; Secure', "x", "id=NEW; Secure"],
    ["taken away", "id=; Max-Age=0", "", "id=NEW; Max-Age=0"],
  ];
  for (const [name, line, value, replaced] of cases)
    test(name, () => {
      expect(setCookieValue(line, "id")).toBe(value);
      expect(withSetCookieValue(line, "NEW")).toBe(replaced);
    });
  test("of another cookie, or of none", () => {
    for (const line of ["other=x", "ID=x", "Path=/; id=x", "id", ""])
      expect(setCookieValue(line, "id")).toBeUndefined();
  });
});
