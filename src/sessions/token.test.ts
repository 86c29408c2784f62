import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { looksLikeToken, SessionTokens } from "./token.ts";

const SECRET = "a secret of sufficient length";
const OLD_SECRET = "the secret of the year before";
const tokens = new SessionTokens([SECRET], "app\0cookie");
const ISSUED_S = 1_767_225_600;

test("the form is what the head of the file says, made anew with another implementation of HMAC", () => {
  const hmac = (key: string | Buffer, data: string | Buffer) => createHmac("sha256", key).update(data).digest();
  const tag = hmac(hmac(SECRET, "evenkeel session endpoint\0app\0cookie"), "10.0.0.1:80").subarray(0, 6);
  const issued = Buffer.alloc(4);
  issued.writeUInt32BE(ISSUED_S);
  const signed = Buffer.concat([Buffer.of(1), issued, tag]);
  const mac = hmac(hmac(SECRET, "evenkeel session token\0app\0cookie"), signed).subarray(0, 13);
  const expected = Buffer.concat([signed, mac]).toString("base64url");
  expect(tokens.issue(tokens.tagOf("10.0.0.1:80", 0), ISSUED_S)).toBe(expected);
});

test("a known token, for whoever shares a secret with an older version", () => {
  expect(tokens.issue(tokens.tagOf("10.0.0.1:80", 0), ISSUED_S)).toBe("AWlVuQCdoNjFu63LOUoJCMBNCDHzXYxS");
});

test("what was issued is read again, by another balancer with the secret as well", () => {
  const tag = tokens.tagOf("10.0.0.1:80", 0);
  const other = new SessionTokens([SECRET], "app\0cookie");
  expect(other.read(tokens.issue(tag, ISSUED_S))).toEqual({ secret: 0, tag, issuedS: ISSUED_S });
  expect(other.tagOf("10.0.0.1:80", 0)).toBe(tag);
});

test("no endpoint's address is in it, and endpoints differ", () => {
  const token = tokens.issue(tokens.tagOf("10.0.0.1:80", 0), ISSUED_S);
  expect(Buffer.from(token, "base64url").toString("latin1")).not.toContain("10.0.0.1");
  const tags = Array.from({ length: 10_000 }, (_, index) => tokens.tagOf(`10.0.${index >> 8}.${index & 255}:80`, 0));
  expect(new Set(tags).size).toBe(10_000);
});

describe("nothing but what was issued is read", () => {
  const token = tokens.issue(tokens.tagOf("10.0.0.1:80", 0), ISSUED_S);

  test("every single bit counts", () => {
    for (let bit = 0; bit < 24 * 8; bit++) {
      const bytes = Buffer.from(token, "base64url");
      bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7));
      expect(tokens.read(bytes.toString("base64url"))).toBeUndefined();
    }
  });
  test.each([
    ["nothing", ""],
    ["a letter less", token.slice(1)],
    ["a letter more", `${token}A`],
    ["padding", `${token.slice(0, 31)}=`],
    ["the other alphabet of base64", `${token.slice(0, 31)}+`],
    ["an address", "10.0.0.1:80"],
    ["32 letters of something else", "A".repeat(32)],
    ["a very long text", "AQ".repeat(100_000)],
  ])("%s", (_, text) => expect(tokens.read(text)).toBeUndefined());
  test("another secret, another pool, another cookie", () => {
    for (const other of [
      new SessionTokens([OLD_SECRET], "app\0cookie"),
      new SessionTokens([SECRET], "shop\0cookie"),
      new SessionTokens([SECRET], "app\0other"),
    ])
      expect(other.read(token)).toBeUndefined();
  });
});

test("secrets change one by one: the first signs, all are read", () => {
  const old = new SessionTokens([OLD_SECRET], "app");
  const both = new SessionTokens([SECRET, OLD_SECRET], "app");
  const token = old.issue(old.tagOf("10.0.0.1:80", 0), ISSUED_S);
  expect(both.read(token)).toEqual({ secret: 1, tag: both.tagOf("10.0.0.1:80", 1), issuedS: ISSUED_S });
  const renewed = both.issue(both.tagOf("10.0.0.1:80", 0), ISSUED_S);
  const next = new SessionTokens([SECRET], "app");
  expect(next.read(renewed)?.tag).toBe(next.tagOf("10.0.0.1:80", 0));
  expect(next.read(token)).toBeUndefined();
});

test("random bytes serve as a secret", () => {
  const random = new SessionTokens([crypto.getRandomValues(new Uint8Array(32))], "app");
  const token = random.issue(random.tagOf("a:1", 0), ISSUED_S);
  expect(looksLikeToken(token)).toBeTrue();
  expect(random.read(token)?.issuedS).toBe(ISSUED_S);
});
