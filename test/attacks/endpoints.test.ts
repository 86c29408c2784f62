/** Endpoints that are broken, hostile or slow: clients get a clear answer, and nothing of one answer gets into another. */
import { expect, test } from "bun:test";
import { readPipeline, readResponse } from "../fuzz/reference-parser.ts";
import type { Balancer } from "../support/balancer.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, type RawEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";
import { connected, GET, MIB, netEndpoint, serve, until, use, writeMuch } from "./harness.ts";

const OK = "HTTP/1.1 200 OK\r\n";
const CLOSE = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const GOOD = `${OK}Content-Length: 4\r\n\r\ngood`;

type Answer = (socket: EndpointSocket) => unknown;

/** The first request gets what the test wants, each later one an answer that is good. */
function misbehaving(first: Answer): RawEndpoint {
  let requests = 0;
  return use(
    startRawEndpoint((socket, _all, piece) => {
      if (!piece.endsWith("\r\n\r\n")) return;
      if (requests++ === 0) first(socket);
      else socket.write(GOOD);
    }),
  );
}

/** Another request gets the good answer, and on a connection of its own. */
async function expectGoodNext(balancer: Balancer, endpoint: RawEndpoint): Promise<void> {
  expect((await sendRaw(balancer.port, CLOSE)).text).toEndWith("\r\n\r\ngood");
  expect(endpoint.received.length).toBe(2);
}

/** Writes `pieces` one after the other, each in a segment of its own. */
function dribble(pieces: readonly string[], intervalMs = 2): Answer {
  return async (socket) => {
    for (const piece of pieces) {
      socket.write(piece);
      await Bun.sleep(intervalMs);
    }
  };
}

const REFUSED: [string, Answer][] = [
  ["a CR in a header value", dribble([`${OK}X: a\rSet-Cookie: b=c\r\nContent-Length: 0\r\n\r\n`])],
  ["a LF in a header value", dribble([`${OK}X: a\nSet-Cookie: b=c\r\nContent-Length: 0\r\n\r\n`])],
  ["a second answer in a header value", dribble([`${OK}X: a\r\n\rHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`])],
  ["CR X behind the status", dribble(["HTTP/1.1 200\rX\r\n\r\n"])],
  [
    "Content-Length, then Transfer-Encoding",
    dribble([`${OK}Content-Length: 5\r\n`, "Transfer-Encoding: chunked\r\n\r\n"]),
  ],
  [
    "Transfer-Encoding, then Content-Length",
    dribble([`${OK}Transfer-Encoding: chunked\r\n`, "Content-Length: 5\r\n\r\n"]),
  ],
  ["chunked from HTTP/1.0", dribble(["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])],
  ["two Content-Lengths that differ", dribble([`${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok`])],
  ["a Content-Length that is a list", dribble([`${OK}Content-Length: 2, 2\r\n\r\nok`])],
  ["a Content-Length that is too large to count", dribble([`${OK}Content-Length: 9999999999999999\r\n\r\nok`])],
  ["a folded header, in pieces", dribble([`${OK}X: a\r\n`, " b\r\nContent-Length: 0\r\n\r\n"])],
  ["a header bomb, in pieces", dribble(Array.from({ length: 40 }, () => "X: y\r\n".repeat(10)).toSpliced(0, 0, OK), 1)],
  [
    "a header line without end, in pieces",
    dribble([`${OK}X: `, ...Array.from({ length: 30 }, () => "y".repeat(4_000))], 1),
  ],
  ["a status line that is too short", dribble(["HTTP/1.1\r\n\r\n"])],
  ["204 with a body", dribble(["HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil"])],
  ["304 with a body", dribble([`HTTP/1.1 304 Not Modified\r\n\r\n${GOOD}`])],
];

test.each(REFUSED)("502, and the connection is not used again: %s", async (_name, answer) => {
  const endpoint = misbehaving(answer);
  const balancer = serve(endpoint.address);
  const { text } = await sendRaw(balancer.port, CLOSE);
  expect(statusOf(text)).toBe(502);
  expect(text).not.toMatch(/set-cookie|evil/i);
  await expectGoodNext(balancer, endpoint);
});

const CUT_SHORT: [string, string, Answer][] = [
  ["bytes behind the length", "hello", dribble([`${OK}Content-Length: 5\r\n\r\nhe`, `llo${GOOD}`])],
  ["bytes behind the length, later", "hello", dribble([`${OK}Content-Length: 5\r\n\r\nhello`, GOOD])],
  [
    "bytes behind the last chunk",
    "0\r\n\r\n",
    dribble([`${OK}Transfer-Encoding: chunked\r\n\r\n`, `0\r\n\r\n${GOOD}`]),
  ],
  ["an answer inside an answer", GOOD, dribble([`${OK}Content-Length: ${GOOD.length}\r\n\r\n`, GOOD])],
];

test.each(CUT_SHORT)("the client gets its answer and no more of it: %s", async (name, body, answer) => {
  const endpoint = misbehaving(answer);
  const balancer = serve(endpoint.address);
  const { text } = await sendRaw(balancer.port, CLOSE);
  const { body: outcome, bodyEnd } = readResponse(text, false, { bytes: 65_536, fields: 100 });
  expect([outcome, bodyEnd]).toEqual(["complete", text.length]);
  expect(text).toEndWith(`\r\n\r\n${body}`);
  await Bun.sleep(20);
  if (name.startsWith("bytes")) await expectGoodNext(balancer, endpoint);
});

test("the body of an answer to HEAD is not taken for the next answer", async () => {
  const endpoint = misbehaving(dribble([`${OK}Content-Length: 4\r\n\r\n`, "evil"]));
  const balancer = serve(endpoint.address);
  const { text } = await sendRaw(balancer.port, CLOSE.replace("GET", "HEAD"));
  expect(text).toEndWith("\r\n\r\n");
  await Bun.sleep(20);
  await expectGoodNext(balancer, endpoint);
});

const BROKEN_OFF: [string, readonly string[]][] = [
  ["an endless chunk extension", ["5;", ...Array.from({ length: 20 }, () => "x".repeat(200))]],
  ["endless trailers", ["0\r\n", ...Array.from({ length: 30 }, () => "X: y\r\n".repeat(200))]],
  ["a trailer that would frame a message", ["0\r\n", "Content-Length: 5\r\n\r\n"]],
  ["a chunk size that is none", ["5\r\nhello\r\n", "-1\r\n"]],
  ["a chunk that is longer than it says", ["5\r\nhello!\r\n"]],
];

test.each(BROKEN_OFF)("the answer is broken off: %s", async (_name, pieces) => {
  const endpoint = misbehaving(dribble([`${OK}Transfer-Encoding: chunked\r\n\r\n`, ...pieces]));
  const balancer = serve(endpoint.address);
  const { text, closed } = await sendRaw(balancer.port, CLOSE);
  expect(closed).toBe(true);
  expect(readResponse(text, false, { bytes: 65_536, fields: 100 }).body).not.toBe("complete");
  await expectGoodNext(balancer, endpoint);
});

test("Connection in an answer takes away nothing that frames it", async () => {
  const endpoint = misbehaving(
    dribble([`${OK}Connection: Content_Length, content-length\r\nContent-Length: 4\r\n\r\ngood`]),
  );
  const balancer = serve(endpoint.address);
  const { text } = await sendRaw(balancer.port, CLOSE);
  expect(text).toContain("\r\nContent-Length: 4\r\n");
});

test("interim answers for ever, one at a time: 502 after a bounded number", async () => {
  const endpoint = misbehaving(
    dribble(
      Array.from({ length: 200 }, () => "HTTP/1.1 102 Processing\r\n\r\n"),
      1,
    ),
  );
  const balancer = serve(endpoint.address);
  const { text } = await sendRaw(balancer.port, CLOSE);
  expect(text.match(/^HTTP\/1\.1 102 /gm)?.length).toBeLessThanOrEqual(32);
  expect(text).toContain("\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n");
});

test("interim answers carry no framing and nothing of the connection", async () => {
  const hints = "Link: </x>\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n";
  const coded = "Transfer-Encoding: chunked\r\n";
  const endpoint = misbehaving(
    dribble([`HTTP/1.0 103 Early Hints\r\n${hints}\r\n`, `HTTP/1.1 103 Early Hints\r\n${coded}\r\n`, GOOD]),
  );
  const balancer = serve(endpoint.address);
  const { text } = await sendRaw(balancer.port, CLOSE);
  expect(text).toStartWith(
    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n",
  );
  expect(text).toEndWith("\r\n\r\ngood");
});

test("a head that drips in ends with the request timeout", async () => {
  const endpoint = misbehaving(dribble([OK, "X:", ...Array.from({ length: 50 }, () => "y")], 30));
  const timeouts = { request: "500ms", response: "300ms" };
  const balancer = serve(endpoint.address, {}, { routes: [{ match: {}, pool: "app", timeouts }] });
  expect(statusOf((await sendRaw(balancer.port, CLOSE)).text)).toBe(504);
});

test("an endpoint that never reads: 504, and little of the upload was taken in", async () => {
  const endpoint = await netEndpoint((socket) => socket.pause());
  const timeouts = { idle: "400ms" };
  const balancer = serve(endpoint.address, {}, { routes: [{ match: {}, pool: "app", timeouts, maxBodySize: "0B" }] });
  const client = await connected(balancer.port);
  client.socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${256 * MIB}\r\n\r\n`);
  writeMuch(client.socket, 256 * MIB);
  expect(await until(() => client.text.includes("\r\n\r\n"))).toBe(true);
  expect(client.status).toBe(504);
  expect(await until(() => client.closed)).toBe(true);
});

test("an endpoint that closes at once, again and again, gets no request twice", async () => {
  const endpoint = use(startRawEndpoint((socket) => socket.end()));
  const balancer = serve(endpoint.address);
  for (let round = 0; round < 20; round++) {
    expect(
      statusOf((await sendRaw(balancer.port, GET.replace("GET", "POST"), { until: (text) => text !== "" })).text),
    ).toBe(502);
  }
  const { requests } = readPipeline(endpoint.received.join(""), { bytes: 65_536, fields: 100 });
  expect(requests.length).toBe(20);
});
