import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { failedAssertion } from "./json-assertions.ts";
import type { ProbeResult } from "./probes/definition.ts";
import { probeEndpoint } from "./probes/registry.ts";
import { healthSchema } from "./schema.ts";

type Written = Parameters<typeof healthSchema.parse>[0];
let server: { stop(force: boolean): void; port: number } | undefined;
afterEach(() => server?.stop(true));

/** An endpoint that answers with these pieces, and then closes or stays. */
function answers(pieces: readonly string[], closes = false): number {
  const listening = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open() {},
      data(socket) {
        for (const piece of pieces) socket.write(piece);
        if (closes) socket.end();
      },
    },
  });
  server = listening;
  return listening.port;
}

async function probe(port: number, written: Written, clock = new FakeClock()): Promise<ProbeResult> {
  const config = healthSchema.parse(written);
  if (config === false) throw new Error("expected a check");
  return probeEndpoint({ pool: "app", host: "127.0.0.1", name: "127.0.0.1", port }, config, {
    timers: clock,
    path: "/usr/bin:/bin",
  });
}

const ok = (body: string, headers = "") => `HTTP/1.1 200 OK\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;

/** An endpoint that answers every datagram with this, or not at all. */
async function answersDatagrams(answer: Buffer | undefined): Promise<{ port: number; received: Buffer[] }> {
  const received: Buffer[] = [];
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: {
      data(self, datagram, port, address) {
        received.push(datagram);
        if (answer !== undefined) self.send(answer, port, address);
      },
    },
  });
  server = { stop: () => socket.close(), port: socket.port };
  return { port: socket.port, received };
}

describe("udp", () => {
  test("an answer that contains what is expected passes, text and bytes", async () => {
    const { port, received } = await answersDatagrams(Buffer.from("so PONG it is"));
    expect(await probe(port, { type: "udp", send: "PING", expect: "PONG" })).toBeUndefined();
    expect(await probe(port, { type: "udp", send: { hex: "00 ff" }, expect: { hex: "504f4e47" } })).toBeUndefined();
    expect(received.map((datagram) => datagram.toString("latin1"))).toEqual(["PING", "\0\xff"]);
  });

  test("another answer fails, and is shown", async () => {
    const { port } = await answersDatagrams(Buffer.from([1, 2]));
    expect(await probe(port, { type: "udp", expect: "PONG" })).toBe('expected "PONG", got 0102');
    expect(await probe(port, { type: "udp", expect: { hex: "03" } })).toBe("expected 03, got 0102");
  });

  test("silence fails when an answer is expected, in the time that is allowed", async () => {
    const { port, received } = await answersDatagrams(undefined);
    const clock = new FakeClock();
    const result = probe(port, { type: "udp", expect: "PONG", timeout: "3s" }, clock);
    while (received.length === 0) await Bun.sleep(1);
    clock.advance(2_999);
    clock.advance(1);
    expect(await result).toBe("no answer in time");
    expect(clock.waiting).toBe(0);
  });

  test("silence passes when nothing is expected, an empty datagram is sent", async () => {
    const { port, received } = await answersDatagrams(undefined);
    const clock = new FakeClock();
    const result = probe(port, { type: "udp" }, clock);
    while (received.length === 0) await Bun.sleep(1);
    clock.advance(250);
    expect(await result).toBeUndefined();
    expect(received[0]?.length).toBe(0);
  });

  test("a port where nobody is fails at once", async () => {
    const { port } = await answersDatagrams(undefined);
    server?.stop(true);
    expect(await probe(port, { type: "udp" })).toBe("nobody is at that port");
  });

  test("bytes that are none are refused", () => {
    expect(() => healthSchema.parse({ type: "udp", send: { hex: "0" } })).toThrow("hexadecimal");
  });
});

describe("http", () => {
  const cases: [string, string[], Written, string | undefined][] = [
    ["200 passes", [ok("")], {}, undefined],
    ["204 passes", ["HTTP/1.1 204 No Content\r\n\r\n"], {}, undefined],
    ["500 fails", ["HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"], {}, "status 500"],
    ["404 passes when expected", ["HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"], { status: [404] }, undefined],
    ["a list of statuses", [ok("")], { status: ["201-299", 404] }, "status 200"],
    ["interim answers are passed over", ["HTTP/1.1 103 Early\r\n\r\n", ok("")], {}, undefined],
    ["text in the body", [ok("all good")], { body: "good" }, undefined],
    ["text that is not in the body", [ok("all bad")], { body: "good" }, 'the body does not contain "good"'],
    [
      "a body in chunks",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngo\r\n", "\r\n0\r\n\r\n"]
        .slice(0, 1)
        .concat(["", ""]),
      { body: "x" },
      undefined,
    ],
    ["json", [ok('{"a":{"b":true},"cpu":50}')], { json: { "a.b": true, cpu: "< 95" } }, undefined],
    ["json that is not as wished", [ok('{"cpu":96}')], { json: { cpu: "< 95" } }, "json cpu: expected < 95, found 96"],
    ["json that is none", [ok("<html>")], { json: { a: 1 } }, "the body is not JSON"],
    ["garbage", ["SSH-2.0-OpenSSH\r\n"], {}, "the answer is not HTTP/1.1"],
  ];
  for (const [name, pieces, written, expected] of cases) {
    if (name === "a body in chunks") continue;
    test(name, async () => expect(await probe(answers(pieces), written)).toBe(expected as string));
  }
  test("a body in chunks", async () => {
    const port = answers([
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n",
      "4\r\n wel\r\n1\r\nl\r\n0\r\n\r\n",
    ]);
    expect(await probe(port, { body: "all well" })).toBeUndefined();
  });
  test("a body that ends with the connection", async () =>
    expect(await probe(answers(["HTTP/1.1 200 OK\r\n\r\nall well"], true), { body: "well" })).toBeUndefined());
  test("a connection that closes before the answer", async () =>
    expect(await probe(answers(["HTTP/1.1 2"], true), {})).toBe("the connection was closed early"));
  test("nobody there", async () => expect(await probe(1, {})).toBe("connecting to 127.0.0.1:1 failed"));
  test("no answer in time", async () => {
    const clock = new FakeClock();
    const result = probe(answers([]), { timeout: "1s" }, clock);
    await Bun.sleep(50);
    clock.advance(1_000);
    expect(await result).toBe("no answer in time");
    expect(clock.waiting).toBe(0);
  });
  test("sends what it is told to", async () => {
    let request = "";
    const listening = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket, bytes) {
          request += bytes.toString();
          socket.write(ok(""));
        },
      },
    });
    server = listening;
    await probe(listening.port, {
      path: "/ready?x=1",
      method: "HEAD",
      host: "app.internal",
      headers: { "X-Check": "1" },
    });
    expect(request).toStartWith("HEAD /ready?x=1 HTTP/1.1\r\nhost: app.internal\r\n");
    expect(request).toContain("x-check: 1\r\n");
  });
});

describe("http that says more than passed or failed", () => {
  const answer = (status: number, headers = "") => [`HTTP/1.1 ${status} X\r\n${headers}Content-Length: 0\r\n\r\n`];
  const spared = { degradedStatus: [429, "503"] };
  test("a status that says degraded passes, whatever else is asked for", async () => {
    expect(await probe(answers(answer(429)), { ...spared, body: "x" })).toEqual({ degraded: "degraded: status 429" });
    expect(await probe(answers(answer(503, "Retry-After: 9\r\n")), spared)).toEqual({
      degraded: "degraded: status 503",
    });
    expect(await probe(answers(answer(200)), spared)).toBeUndefined();
    expect(await probe(answers(answer(500)), spared)).toBe("status 500");
    expect(await probe(answers(answer(200)), { degradedStatus: "2xx" })).toEqual({ degraded: "degraded: status 200" });
  });
  test("Retry-After counts in an answer that fails", async () => {
    expect(await probe(answers(answer(503, "Retry-After: 30\r\n")), {})).toEqual({
      failed: "status 503, not to be asked again for 30s",
      retryAfterMs: 30_000,
    });
    expect(await probe(answers(answer(503, "Retry-After: soon\r\n")), {})).toBe("status 503");
    expect(await probe(answers(answer(200, "Retry-After: 30\r\n")), {})).toBeUndefined();
  });
  test("a header may say what an agent says, in answers that fail too", async () => {
    const said = "x-health-AGENT: drain 50%#too warm\r\n";
    const word = { text: "drain 50%", reason: "too warm", state: "drain", weightPercent: 50, isUp: undefined };
    const written = { agentHeader: "X-Health-Agent" };
    expect(await probe(answers(answer(200, said)), written)).toEqual({ word } as never);
    expect(await probe(answers(answer(500, said)), written)).toEqual({ failed: "status 500", word } as never);
    expect(await probe(answers(answer(200)), written)).toBeUndefined();
    expect(await probe(answers(answer(200, said)), {})).toBeUndefined();
    expect(await probe(answers(answer(200, "X-Health-Agent: nonsense\r\n")), written)).toStartWith(
      'x-health-agent: the agent says "nonsense": expected ready, drain',
    );
  });
});

describe("agent", () => {
  const written = { type: "agent" } as const;
  const says = async (pieces: readonly string[], closes = false): Promise<ProbeResult> =>
    probe(answersAtOnce(pieces, closes), written);

  /** Speaks first, as agents do. */
  function answersAtOnce(pieces: readonly string[], closes: boolean): number {
    const listening = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          for (const piece of pieces) socket.write(piece);
          if (closes) socket.end();
        },
        data() {},
      },
    });
    server = listening;
    return listening.port;
  }

  test("one line, in pieces, with whatever comes behind it", async () => {
    const word = { text: "up 50%", reason: "", state: undefined, weightPercent: 50, isUp: true };
    expect(await says(["up 5", "0%\r\nmore\n"])).toEqual({ word });
    expect(await says(["up 50%\n"])).toEqual({ word });
  });
  test("the end of the connection ends the line", async () =>
    expect(await says(["ready"], true)).toMatchObject({ word: { state: "ready" } }));
  test("what it is sent", async () => {
    const port = answers(["drain\n"]);
    expect(await probe(port, { ...written, send: "state?\n" })).toMatchObject({ word: { state: "drain" } });
  });
  test("it closes without a word", async () =>
    expect(await says([], true)).toBe("the agent closed the connection without a word"));
  test("an empty line", async () => expect(await says(["\n"])).toBe("the agent's answer says nothing"));
  test("garbage", async () =>
    expect(await says(["HTTP/1.1 400\r\n"])).toStartWith('the agent says "HTTP/1.1": expected'));
  test("bytes that are no text", async () =>
    expect(await says(["\u0000\u0001\u0002"])).toBe("the agent's answer says nothing"));
  test("a megabyte without an end", async () =>
    expect(await says(["x".repeat(1_048_576)])).toBe("the agent's line is longer than 1024 bytes"));
  test("nobody there", async () => expect(await probe(1, written)).toBe("connecting to 127.0.0.1:1 failed"));
  for (const pieces of [[], ["up 50"]])
    test(`hangs after ${pieces.length} pieces`, async () => {
      const clock = new FakeClock();
      const result = probe(answersAtOnce(pieces, false), { ...written, timeout: "1s" }, clock);
      await Bun.sleep(50);
      clock.advance(1_000);
      expect(await result).toBe("no answer in time");
      expect(clock.waiting).toBe(0);
    });
});

describe("tcp", () => {
  test("connecting is enough", async () => expect(await probe(answers([]), { type: "tcp" })).toBeUndefined());
  test("nobody there", async () => expect(await probe(1, { type: "tcp" })).toBe("connecting to 127.0.0.1:1 failed"));
  test("what is sent is answered as expected", async () =>
    expect(await probe(answers(["+PO", "NG\r\n"]), { type: "tcp", send: "PING\r\n", expect: "PONG" })).toBeUndefined());
  test("or not", async () =>
    expect(await probe(answers(["-ERR"], true), { type: "tcp", send: "PING\r\n", expect: "PONG" })).toBe(
      'expected "PONG", got "-ERR"',
    ));
});

describe("command", () => {
  const run = (...command: string[]) => probe(80, { type: "command", command });
  test("exit code 0 passes", async () => expect(await run("true")).toBeUndefined());
  test("another fails", async () => expect(await run("sh", "-c", "exit 3")).toBe("sh ended with 3"));
  test("is told where the endpoint is", async () =>
    expect(
      await run("sh", "-c", 'test "$EVENKEEL_POOL $EVENKEEL_HOST $EVENKEEL_PORT" = "app 127.0.0.1 80"'),
    ).toBeUndefined());
  test("sees nothing else of the environment", async () => {
    process.env["EVENKEEL_TEST_SECRET"] = "x";
    expect(await run("sh", "-c", 'test -z "$EVENKEEL_TEST_SECRET"')).toBeUndefined();
    delete process.env["EVENKEEL_TEST_SECRET"];
  });
  test("a program that is not there", async () =>
    expect(await run("/nonexistent")).toContain("cannot run /nonexistent"));
  test("is killed when it takes too long", async () => {
    const clock = new FakeClock();
    const result = probe(80, { type: "command", command: ["sleep", "60"], timeout: "1s" }, clock);
    await Bun.sleep(20);
    clock.advance(1_000);
    expect(await result).toBe("sleep took too long");
  });
});

describe("assertions on JSON", () => {
  const json = { a: { b: 5, c: "text", d: null, e: false }, list: [1] };
  const cases: [string, string | number | boolean | null, boolean][] = [
    ["a.b", 5, true],
    ["a.b", "5", false],
    ["a.b", "< 6", true],
    ["a.b", "<=5", true],
    ["a.b", "> 5", false],
    ["a.b", ">= 5", true],
    ["a.b", "!= 4", true],
    ["a.c", "text", true],
    ["a.c", "< 5", false],
    ["a.d", null, true],
    ["a.e", false, true],
    ["a.x", 1, false],
    ["a.b.c", 1, false],
    ["list.0", 1, true],
    ["constructor", "x", false],
  ];
  for (const [path, expected, passes] of cases)
    test(`${path} ${JSON.stringify(expected)} ${passes ? "passes" : "fails"}`, () =>
      expect(failedAssertion(json, path, expected) === undefined).toBe(passes));
});
