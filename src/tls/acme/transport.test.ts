import { afterAll, describe, expect, test } from "bun:test";
import { systemTimers } from "../../base/clock.ts";
import { FakeClock } from "../../base/fake-clock.ts";
import { createSelfSigned } from "../self-signed.ts";
import { AcmeError } from "./problem.ts";
import { createTransport } from "./transport.ts";

describe("HTTP for ACME", () => {
  const { certificatePem: cert, keyPem: key } = createSelfSigned(["127.0.0.1"], Date.now());
  let stalled = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert, key },
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/large") return new Response("x".repeat(1_048_577));
      if (pathname === "/away") return Response.redirect("https://elsewhere.test/");
      if (pathname === "/stall") {
        stalled++;
        await new Promise((resolve) => request.signal.addEventListener("abort", resolve, { once: true }));
      }
      const { method, headers } = request;
      return Response.json([method, headers.get("content-type"), headers.get("user-agent"), await request.text()], {
        headers: { "Replay-Nonce": "n1" },
      });
    },
  });
  const url = (path: string): string => `https://127.0.0.1:${server.port}${path}`;
  const send = createTransport({ timers: systemTimers, userAgent: "evenkeel/1", caPem: cert });
  const never = new AbortController().signal;
  const errorOf = async (promise: Promise<unknown>): Promise<AcmeError> => {
    const error = await promise.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(AcmeError);
    return error as AcmeError;
  };
  afterAll(() => server.stop(true));

  test("sends a signed body as what it is, and gives headers whatever their case", async () => {
    const response = await send({ method: "POST", url: url("/"), body: "{}" }, never);
    expect(response.status).toBe(200);
    expect(response.header("replay-nonce")).toBe("n1");
    expect(response.header("location")).toBeUndefined();
    expect(JSON.parse(response.body)).toEqual(["POST", "application/jose+json", "evenkeel/1", "{}"]);
  });

  test("follows nothing, takes no more than 1 MiB, and speaks TLS only", async () => {
    expect((await send({ method: "GET", url: url("/away") }, never)).status).toBe(302);
    expect((await errorOf(send({ method: "GET", url: url("/large") }, never))).message).toContain("more than 1 MiB");
    const plain = await errorOf(send({ method: "GET", url: `http://127.0.0.1:${server.port}/` }, never));
    expect(plain.message).toContain("not https://");
  });

  test("an authority that is not trusted gets nothing", async () => {
    const strict = createTransport({ timers: systemTimers, userAgent: "evenkeel/1" });
    const error = await errorOf(strict({ method: "POST", url: url("/"), body: "{}" }, never));
    expect(error.kind).toBe("connection");
    expect(error.message).toContain("no answer from the authority");
  });

  test("gives up after half a minute of silence, and when evenkeel stops", async () => {
    const clock = new FakeClock();
    const patient = createTransport({ timers: clock, userAgent: "evenkeel/1", caPem: cert });
    const waiting = errorOf(patient({ method: "GET", url: url("/stall") }, never));
    while (stalled < 1) await Bun.sleep(5);
    clock.advance(30_000);
    expect((await waiting).message).toContain("no answer within 30 s");
    expect(clock.waiting).toBe(0);

    const stopping = new AbortController();
    const stopped = errorOf(patient({ method: "GET", url: url("/stall") }, stopping.signal));
    while (stalled < 2) await Bun.sleep(5);
    stopping.abort(new AcmeError("stopping", { kind: "stopping" }));
    expect((await stopped).kind).toBe("stopping");
    expect(clock.waiting).toBe(0);
  });
});
