import { describe, expect, test } from "bun:test";
import { createPublicKey, verify } from "node:crypto";
import { z } from "zod";
import { FakeClock } from "../../base/fake-clock.ts";
import { generateKey } from "../x509.ts";
import { publicJwk, signBinding, thumbprint } from "./jws.ts";
import { AcmeError } from "./problem.ts";
import { AcmeSession } from "./session.ts";
import type { AcmeRequest, AcmeResponse } from "./transport.ts";

const BASE = "https://ca.test";

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

interface Posted {
  readonly url: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: string;
}

/** A session with an authority that answers each POST with the next of `answers`. */
function start(answers: readonly Answer[], meta: object = {}) {
  const clock = new FakeClock();
  const key = generateKey();
  const queue = [...answers];
  const posted: Posted[] = [];
  const stopping = new AbortController();
  let nonces = 0;
  const transport = async ({ method, url, body }: AcmeRequest): Promise<AcmeResponse> => {
    const nonce = { "replay-nonce": `nonce-${++nonces}` };
    if (url === `${BASE}/dir`) {
      const urls = Object.fromEntries(["newNonce", "newAccount", "newOrder"].map((name) => [name, `${BASE}/${name}`]));
      return answer({ body: { ...urls, meta } });
    }
    if (method === "HEAD") return answer({ headers: nonce });
    posted.push(readJws(url, body as string, key));
    const { headers = {}, ...rest } = queue.shift() ?? {};
    return answer({ ...rest, headers: { ...nonce, ...headers } });
  };
  const session = new AcmeSession({
    directoryUrl: `${BASE}/dir`,
    transport,
    clock,
    timers: clock,
    accountKey: key,
    signal: stopping.signal,
  });
  return { session, clock, posted, stopping };
}

function answer({ status = 200, headers = {}, body = {} }: Answer): AcmeResponse {
  return {
    status,
    header: (name) => headers[name],
    body: typeof body === "string" ? body : JSON.stringify(body),
  };
}

/** Checks the signature as an authority would. */
function readJws(url: string, body: string, key: ReturnType<typeof generateKey>): Posted {
  const jws = JSON.parse(body) as { protected: string; payload: string; signature: string };
  const signed = Buffer.from(`${jws.protected}.${jws.payload}`);
  const publicKey = { key: createPublicKey(key), dsaEncoding: "ieee-p1363" as const };
  expect(verify("sha256", signed, publicKey, Buffer.from(jws.signature, "base64url"))).toBe(true);
  const header = JSON.parse(Buffer.from(jws.protected, "base64url").toString()) as Record<string, unknown>;
  return { url, header, payload: Buffer.from(jws.payload, "base64url").toString() };
}

async function errorOf(promise: Promise<unknown>): Promise<AcmeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AcmeError);
  return error as AcmeError;
}

const problem = (kind: string, detail = "no") => ({ type: `urn:ietf:params:acme:error:${kind}`, detail });

describe("an ACME session", () => {
  test("makes an account with its key, and signs with its address from then on", async () => {
    const { session, posted } = start([{ status: 201, headers: { location: `${BASE}/acct/1` } }, {}]);
    expect(await session.createAccount({ email: "a@example.com", acceptTerms: true })).toBe(`${BASE}/acct/1`);
    await session.post("order", `${BASE}/order/1`);
    expect(posted[0]).toMatchObject({
      url: `${BASE}/newAccount`,
      header: { alg: "ES256", nonce: "nonce-2", url: `${BASE}/newAccount`, jwk: { kty: "EC", crv: "P-256" } },
      payload: '{"termsOfServiceAgreed":true,"contact":["mailto:a@example.com"]}',
    });
    expect(posted[1]?.header).toEqual({
      alg: "ES256",
      kid: `${BASE}/acct/1`,
      nonce: "nonce-3",
      url: `${BASE}/order/1`,
    });
    expect(posted[1]?.payload).toBe("");
  });

  test("does not accept terms that nobody has read", async () => {
    const { session, posted } = start([], { termsOfService: "https://ca.test/terms" });
    const error = await errorOf(session.createAccount({ acceptTerms: false }));
    expect(error.message).toBe(
      "account: the authority wants its terms to be accepted; read https://ca.test/terms and set acceptTerms: true",
    );
    expect(posted).toEqual([]);
  });

  test("tries again with the new nonce when one is refused, but not for ever", async () => {
    const bad = { status: 400, body: problem("badNonce") };
    const { session, posted } = start([bad, bad, {}]);
    session.useAccount(`${BASE}/acct/1`);
    await session.post("order", `${BASE}/order/1`);
    expect(new Set(posted.map(({ header }) => header["nonce"])).size).toBe(3);
    const hopeless = start(Array.from({ length: 50 }, () => bad));
    hopeless.session.useAccount(`${BASE}/acct/1`);
    expect((await errorOf(hopeless.session.post("order", `${BASE}/order/1`))).kind).toBe("badNonce");
    expect(hopeless.posted).toHaveLength(11);
  });

  test("tells what the authority said, in one line, and when to come back", async () => {
    const limited = { ...problem("rateLimited", "too many\ncertificates"), subproblems: [] };
    const rejected = {
      ...problem("rejectedIdentifier", "some names"),
      subproblems: [{ ...problem("malformed", "not public"), identifier: { type: "dns", value: "a.test" } }],
    };
    const { session } = start([
      { status: 429, headers: { "retry-after": "7200" }, body: limited },
      { status: 503, headers: { "retry-after": "Thu, 01 Jan 2026 00:10:00 GMT" }, body: "<html>busy</html>" },
      { status: 400, body: rejected },
    ]);
    session.useAccount(`${BASE}/acct/1`);
    const errors = [];
    for (let index = 0; index < 3; index++) errors.push(await errorOf(session.post("order for a.test", `${BASE}/o`)));
    expect(errors.map(({ message, kind, status, retryAfterMs }) => ({ message, kind, status, retryAfterMs }))).toEqual([
      {
        message: "order for a.test: the authority refused (rateLimited): too many certificates",
        kind: "rateLimited",
        status: 429,
        retryAfterMs: 7_200_000,
      },
      {
        message: "order for a.test: the authority refused (about:blank): status 503",
        kind: "about:blank",
        status: 503,
        retryAfterMs: 600_000,
      },
      {
        message:
          "order for a.test: the authority refused (rejectedIdentifier): some names; a.test: malformed: not public",
        kind: "rejectedIdentifier",
        status: 400,
        retryAfterMs: undefined,
      },
    ]);
  });

  test("asks again as often as it is told to, for three minutes at most", async () => {
    const schema = z.object({ status: z.string() });
    const pending = { headers: { "retry-after": "20" }, body: { status: "pending" } };
    const { session, clock, posted } = start([pending, pending, { body: { status: "valid" } }]);
    session.useAccount(`${BASE}/acct/1`);
    const polled = session.poll(schema, "order", `${BASE}/o`, ({ status }) => status === "valid");
    for (const expected of [1, 2, 3]) {
      await settle();
      expect(posted).toHaveLength(expected);
      clock.advance(19_999);
      await settle();
      expect(posted).toHaveLength(expected);
      clock.advance(1);
    }
    expect(await polled).toEqual({ status: "valid" });

    const endless = start(Array.from({ length: 100 }, () => ({ body: { status: "pending" } })));
    endless.session.useAccount(`${BASE}/acct/1`);
    const failed = errorOf(endless.session.poll(schema, "order", `${BASE}/o`, () => false));
    for (let index = 0; index < 40; index++) {
      await settle();
      endless.clock.advance(5_000);
    }
    expect((await failed).message).toBe("order: the authority has not decided within 180 s");
  });

  test("a pause ends when evenkeel stops", async () => {
    const { session, clock, stopping } = start([{ body: { status: "pending" } }]);
    session.useAccount(`${BASE}/acct/1`);
    const polled = errorOf(session.poll(z.object({}), "order", `${BASE}/o`, () => false));
    await settle();
    stopping.abort(new AcmeError("stopping", { kind: "stopping" }));
    expect((await polled).kind).toBe("stopping");
    expect(clock.waiting).toBe(0);
  });

  test("an answer that is not ACME is told as such", async () => {
    const { session } = start([{ body: "<html>" }]);
    session.useAccount(`${BASE}/acct/1`);
    const error = await errorOf(session.read(z.object({ status: z.string() }), "authorization", `${BASE}/a`));
    expect(error.message).toBe("authorization: the authority's answer is not what RFC 8555 describes");
  });
});

test("thumbprints and key authorizations follow RFC 7638", () => {
  const key = generateKey();
  const jwk = publicJwk(key);
  expect(Object.keys(jwk)).toEqual(["crv", "kty", "x", "y"]);
  expect(thumbprint(jwk)).toMatch(/^[A-Za-z0-9_-]{43}$/);
  const fixed = {
    crv: "P-256",
    kty: "EC",
    x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
  };
  const hash = new Bun.CryptoHasher("sha256").update(`{"crv":"P-256","kty":"EC","x":"${fixed.x}","y":"${fixed.y}"}`);
  expect(thumbprint(fixed)).toBe(hash.digest("base64url"));
});

test("a binding is signed with the secret of the other account", () => {
  const jwk = publicJwk(generateKey());
  const secret = Buffer.from("secret").toString("base64url");
  const binding = signBinding("kid-1", secret, `${BASE}/newAccount`, jwk) as Record<string, string>;
  const hmac = new Bun.CryptoHasher("sha256", "secret").update(`${binding["protected"]}.${binding["payload"]}`);
  expect(binding["signature"]).toBe(hmac.digest("base64url"));
  expect(JSON.parse(Buffer.from(binding["protected"] as string, "base64url").toString())).toEqual({
    alg: "HS256",
    kid: "kid-1",
    url: `${BASE}/newAccount`,
  });
});

/** Lets everything go on that does not wait for time. */
async function settle(): Promise<void> {
  for (let index = 0; index < 20; index++) await Promise.resolve();
}
