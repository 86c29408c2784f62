import { describe, expect, test } from "bun:test";
import { type Challenge, ChallengeTable } from "./challenges.ts";

describe("open challenges", () => {
  const challenge = (type: Challenge["type"]): Challenge => ({
    type,
    name: "a.test",
    token: "tok-1",
    keyAuthorization: "tok-1.thumb",
  });

  test("are answered over HTTP for their token alone", () => {
    const table = new ChallengeTable(() => 0);
    const open = challenge("http-01");
    table.present(open);
    expect(table.openHttp).toBe(1);
    expect(table.httpAnswer("/.well-known/acme-challenge/tok-1")).toBe("tok-1.thumb");
    for (const path of [
      "/",
      "/.well-known/acme-challenge/",
      "/.well-known/acme-challenge/tok-2",
      "/.well-known/acme-challenge/tok-1/",
      "/.well-known/acme-challenge/../tok-1",
    ])
      expect(table.httpAnswer(path)).toBeUndefined();
    table.withdraw(open);
    expect(table.httpAnswer("/.well-known/acme-challenge/tok-1")).toBeUndefined();
  });

  test("are answered in handshakes for their name alone, with one context", () => {
    const table = new ChallengeTable(() => Date.UTC(2026, 0, 1));
    const open = challenge("tls-alpn-01");
    table.present(open);
    expect(table.httpAnswer("/.well-known/acme-challenge/tok-1")).toBeUndefined();
    const context = table.tlsContext("A.TEST");
    expect(context).toBeDefined();
    expect(table.tlsContext("a.test")).toBe(context as object);
    expect(table.tlsContext("b.test")).toBeUndefined();
    table.withdraw({ ...open, token: "older" });
    expect(table.openTls).toBe(1);
    table.withdraw(open);
    expect(table.openTls).toBe(0);
  });
});
