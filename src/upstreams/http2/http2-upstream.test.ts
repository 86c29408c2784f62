import { describe, expect, test } from "bun:test";
import { FLAG, FRAME, H2_ERROR, SETTING } from "../../protocols/http2/frames.ts";
import { connectedUpstream as setUp } from "./fake-connection.ts";
import type { FrameScript } from "./testing.ts";
import type { UpstreamStream } from "./upstream-stream.ts";

const GET = "GET /a?b=1 HTTP/1.1\r\nHost: app.test\r\nX-One: 1\r\n\r\n";
const POST = "POST /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n";
const CHUNKED = "POST /up HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK = [[":status", "200"]] as const;

describe("connecting", () => {
  test("begins with the preface and SETTINGS, and serves once the endpoint has told its own", async () => {
    const { told, upstream, endpoint, heard, tell } = await setUp([], { silent: true });
    await heard();
    expect(endpoint.sent.map(({ type }) => type)).toEqual([FRAME.settings, FRAME.windowUpdate]);
    expect(endpoint.credit(0)).toBe(16 * 1_048_576 - 65_535);
    expect([upstream.hasRoom, told]).toEqual([false, []]);
    await tell(endpoint.settings(SETTING.maxConcurrentStreams, 7));
    expect([upstream.room, told]).toEqual([7, ["ready"]]);
    expect(endpoint.of(FRAME.settings).at(-1)?.flags).toBe(FLAG.ack);
  });
  test("an endpoint that speaks HTTP/1.1", async () => {
    const { told, socket, tell } = await setUp([], { silent: true });
    await tell(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(told[0]).toBe("E_ENDPOINT_PROTOCOL");
    expect(socket.ended).toBe("end");
  });
  test("an endpoint that agrees on something else in TLS", async () => {
    const { told, upstream, socket } = await setUp([], { silent: true });
    expect(told).toEqual([]);
    const secure = await setUp([], { secure: true });
    expect(secure.told).toEqual(["ready"]);
    upstream.failConnecting("E_ENDPOINT_TLS");
    upstream.abort();
    expect([told, socket.ended]).toEqual([["E_ENDPOINT_TLS", "closed"], "terminate"]);
  });
  test("an endpoint that takes the connection and says nothing", async () => {
    const { clock, told, socket } = await setUp([], { silent: true });
    clock.advance(3_100);
    expect([told, socket.ended]).toEqual([["E_CONNECT_TIMEOUT", "closed"], "terminate"]);
  });
  test("an endpoint that closes at once", async () => {
    const { told, upstream } = await setUp([], { silent: true });
    upstream.onPeerEnd();
    expect(told).toEqual(["E_CONNECT_FAILED", "closed"]);
  });
});

describe("requests", () => {
  test("become fields", async () => {
    const { endpoint, heard, begin } = await setUp();
    begin(GET.replace("X-One: 1", "X-One: 1\r\nTE: trailers\r\nConnection: TE\r\nKeep-Alive: 5"));
    await heard();
    expect(endpoint.of(FRAME.headers)[0]?.fields).toEqual([
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/a?b=1"],
      [":authority", "app.test"],
      ["x-one", "1"],
      ["te", "trailers"],
    ]);
    expect(endpoint.ended(1)).toBe(true);
  });
  test("with a length: DATA, the last of it with END_STREAM", async () => {
    const { endpoint, heard, begin } = await setUp();
    const borrower = begin(`${POST}01234`);
    await heard();
    expect(endpoint.ended(1)).toBe(false);
    borrower.send("56789");
    await heard();
    expect(endpoint.body(1).toString()).toBe("0123456789");
    expect(endpoint.sent.at(-1)).toMatchObject({ type: FRAME.data, flags: FLAG.endStream });
  });
  test("in chunks: DATA without them, and trailers", async () => {
    const { endpoint, heard, begin } = await setUp();
    const borrower = begin(`${CHUNKED}3\r\nabc\r`);
    borrower.send("\n2\r\nde\r\n0\r\nX-Sum: 9\r\n\r\n");
    await heard();
    expect(endpoint.body(1).toString()).toBe("abcde");
    expect(endpoint.of(FRAME.headers, 1)[1]).toMatchObject({ fields: [["x-sum", "9"]], flags: 5 });
  });
  test("what is not a request is told as our own fault, later and once", async () => {
    const { heard, begin, kept, endpoint } = await setUp();
    const borrower = begin("GET /a HTTP/1.1\r\nHost: app.test\r\nbad name: 1\r\n\r\n");
    borrower.send("more");
    expect(borrower.failed).toBeUndefined();
    await heard();
    expect([borrower.failed, kept.size, endpoint.of(FRAME.headers).length]).toEqual(["E_INTERNAL", 0, 0]);
  });
  test("no more at a time than the endpoint allows", async () => {
    const { upstream, begin, heard, tell, endpoint } = await setUp([SETTING.maxConcurrentStreams, 2]);
    begin(GET);
    begin(GET);
    expect(upstream.hasRoom).toBe(false);
    const third = begin(GET);
    await heard();
    expect(third.failed).toBe("E_UPSTREAM_REFUSED");
    await tell(endpoint.headers(1, OK, true));
    expect(upstream.room).toBe(1);
    await tell(endpoint.settings(SETTING.maxConcurrentStreams, 1));
    expect(upstream.room).toBe(0);
  });
});

describe("answers", () => {
  test("without a length come in chunks, trailers behind them", async () => {
    const { endpoint, tell, begin, kept } = await setUp();
    const borrower = begin(GET);
    await tell(
      endpoint.headers(1, [...OK, ["x-a", "b"]]),
      endpoint.data(1, "hello"),
      endpoint.headers(1, [["x-end", "1"]], true),
    );
    expect(borrower.text).toBe(
      "HTTP/1.1 200 \r\nx-a: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-end: 1\r\n\r\n",
    );
    expect([borrower.closed, kept.size, endpoint.reset(1)]).toEqual([true, 0, undefined]);
  });
  test("with a length; the exchange is over before END_STREAM comes, and no reset is sent", async () => {
    const { clock, endpoint, tell, begin, kept, upstream } = await setUp();
    const borrower = begin(GET);
    borrower.onData = () => {
      if (borrower.text.endsWith("hello")) borrower.release(true, clock.now());
    };
    await tell(endpoint.headers(1, [...OK, ["content-length", "5"]]), endpoint.data(1, "hello"));
    expect([endpoint.reset(1), upstream.streams, kept.size]).toEqual([undefined, 1, 1]);
    await tell(endpoint.data(1, "", true));
    expect([endpoint.reset(1), upstream.streams, kept.size]).toEqual([undefined, 0, 0]);
  });
  test("an END_STREAM that never comes is not waited for", async () => {
    const { clock, endpoint, tell, begin, kept } = await setUp();
    const borrower = begin(GET);
    await tell(endpoint.headers(1, [...OK, ["content-length", "5"]]), endpoint.data(1, "hello"));
    borrower.release(true, clock.now());
    const stream = [...kept][0] as UpstreamStream;
    expect(stream.deadlineMs).toBe(5_000);
    stream.onDeadline(5_000);
    await tell(endpoint.ping(true));
    expect([endpoint.reset(1), kept.size]).toEqual([H2_ERROR.cancel, 0]);
  });
  test("nothing but fields: no body, unless there are trailers in them", async () => {
    const { endpoint, tell, begin } = await setUp();
    const plain = begin(GET);
    const grpc = begin(GET);
    await tell(endpoint.headers(1, OK, true), endpoint.headers(3, [...OK, ["grpc-status", "5"]], true));
    expect(plain.text).toBe("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
    expect(grpc.text).toBe("HTTP/1.1 200 \r\ngrpc-status: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  });
  test("interim answers come before, HEAD and 304 have no body whatever their length", async () => {
    const { endpoint, tell, begin } = await setUp();
    const head = begin(GET.replace("GET", "HEAD"));
    const cached = begin(GET);
    await tell(
      endpoint.headers(1, [
        [":status", "103"],
        ["link", "</a>"],
      ]),
      endpoint.headers(1, [...OK, ["content-length", "7"]], true),
      endpoint.headers(
        3,
        [
          [":status", "304"],
          ["content-length", "7"],
        ],
        true,
      ),
    );
    expect(head.text).toBe("HTTP/1.1 103 \r\nlink: </a>\r\n\r\nHTTP/1.1 200 \r\ncontent-length: 7\r\n\r\n");
    expect(cached.text).toBe("HTTP/1.1 304 \r\ncontent-length: 7\r\n\r\n");
  });

  const malformed: [string, (endpoint: FrameScript) => Buffer[]][] = [
    ["DATA before the fields", (endpoint) => [endpoint.data(1, "x")]],
    ["END_STREAM before the fields", (endpoint) => [endpoint.data(1, "", true)]],
    ["no status", (endpoint) => [endpoint.headers(1, [["x", "y"]])]],
    ["a status that is none", (endpoint) => [endpoint.headers(1, [[":status", "2000"]])]],
    ["101", (endpoint) => [endpoint.headers(1, [[":status", "101"]])]],
    ["a name in upper case", (endpoint) => [bad(endpoint, "X-A", "b")]],
    ["a connection-specific field", (endpoint) => [endpoint.headers(1, [...OK, ["connection", "close"]])]],
    ["a line break in a value", (endpoint) => [endpoint.headers(1, [...OK, ["x", "a\nb: c"]])]],
    ["a request's pseudo-header", (endpoint) => [endpoint.headers(1, [...OK, [":path", "/"]])]],
    ["an interim answer that ends the stream", (endpoint) => [endpoint.headers(1, [[":status", "103"]], true)]],
    ["a length and no content", (endpoint) => [endpoint.headers(1, [...OK, ["content-length", "3"]], true)]],
    ["two lengths", (endpoint) => [endpoint.headers(1, [...OK, ["content-length", "3"], ["content-length", "4"]])]],
  ];
  function bad(endpoint: FrameScript, name: string, value: string): Buffer {
    // The encoder would make it lower case: the name is changed in the bytes.
    const frame = endpoint.headers(1, [...OK, ["authorization", value]]);
    return Buffer.concat([
      frame.subarray(0, 2),
      Buffer.from([1 + 1 + 1 + name.length + 1 + value.length]),
      frame.subarray(3, 9),
      Buffer.from([0x88, 0x00, name.length, ...Buffer.from(name), value.length, ...Buffer.from(value)]),
    ]);
  }
  for (const [name, frames] of malformed)
    test(`malformed: ${name}`, async () => {
      const { endpoint, tell, begin, kept, told } = await setUp();
      const borrower = begin(GET);
      const other = begin(GET);
      await tell(...frames(endpoint));
      expect([borrower.failed, endpoint.reset(1), kept.size]).toEqual(["E_BAD_RESPONSE", H2_ERROR.protocolError, 1]);
      await tell(endpoint.headers(3, OK, true));
      expect([other.text, told]).toEqual(["HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", ["ready"]]);
    });
  test.each([
    ["less", "abc", true],
    ["more", "abcdefg", false],
  ])("%s content than content-length says", async (_name, body, endStream) => {
    const { endpoint, tell, begin } = await setUp();
    const borrower = begin(GET);
    await tell(endpoint.headers(1, [...OK, ["content-length", "5"]]), endpoint.data(1, body, endStream));
    expect([borrower.failed, endpoint.reset(1)]).toEqual(["E_BAD_RESPONSE", H2_ERROR.protocolError]);
  });
  test("trailers that do not end the stream, or that have what no trailer may", async () => {
    const { endpoint, tell, begin } = await setUp();
    const [first, second] = [begin(GET), begin(GET)];
    await tell(endpoint.headers(1, OK), endpoint.headers(1, [["x", "y"]]));
    await tell(endpoint.headers(3, OK), endpoint.headers(3, [["content-length", "1"]], true));
    expect([first.failed, second.failed]).toEqual(["E_BAD_RESPONSE", "E_BAD_RESPONSE"]);
  });
  test("fields beyond the limit break their stream, not the others", async () => {
    const { endpoint, tell, begin } = await setUp();
    const [first, second] = [begin(GET), begin(GET)];
    await tell(endpoint.headers(1, [...OK, ["x", "y".repeat(5_000)]]), endpoint.headers(3, OK, true));
    expect([first.failed, second.failed]).toEqual(["E_RESPONSE_HEAD_TOO_LARGE", undefined]);
    expect(second.text).toStartWith("HTTP/1.1 200");
  });
});

describe("streams that end otherwise", () => {
  test("REFUSED_STREAM may be sent elsewhere; another reset only if nothing was answered", async () => {
    const { endpoint, tell, begin, kept } = await setUp();
    const [refused, http11, reset, broken] = [begin(GET), begin(GET), begin(GET), begin(GET)];
    await tell(endpoint.rst(1, H2_ERROR.refusedStream), endpoint.rst(3, H2_ERROR.http11Required));
    await tell(endpoint.rst(5, H2_ERROR.internalError));
    await tell(endpoint.headers(7, OK), endpoint.data(7, "abc"), endpoint.rst(7, H2_ERROR.cancel));
    expect([refused.failed, http11.failed]).toEqual(["E_UPSTREAM_REFUSED", "E_ENDPOINT_PROTOCOL"]);
    expect([reset.closed, reset.text, broken.closed]).toEqual([false, "", false]);
    expect([kept.size, endpoint.of(FRAME.rstStream).length]).toEqual([0, 0]);
  });
  test("GOAWAY: streams above its last may be sent elsewhere, the others go on", async () => {
    const { endpoint, tell, begin, upstream, told, socket } = await setUp();
    const [first, second] = [begin(GET), begin(GET)];
    await tell(endpoint.goaway(1));
    expect([first.failed, second.failed, upstream.hasRoom]).toEqual([undefined, "E_UPSTREAM_REFUSED", false]);
    await tell(endpoint.headers(1, OK, true));
    expect(first.text).toStartWith("HTTP/1.1 200");
    expect([told, socket.ended]).toEqual([["ready", "closed", "closed"], "end"]);
  });
  test("the connection ends in the middle of a frame", async () => {
    const { endpoint, tell, begin, told, upstream, kept } = await setUp();
    const [first, second] = [begin(GET), begin(GET)];
    await tell(endpoint.headers(1, OK), endpoint.data(1, "hello").subarray(0, 11));
    upstream.onPeerEnd();
    expect([first.text.slice(-7), first.closed, second.closed]).toEqual(["2\r\nhe\r\n", false, false]);
    expect([told, kept.size]).toEqual([["ready", "closed"], 0]);
  });
  test("the exchange is given up: RST_STREAM with CANCEL, and what still comes is thrown away", async () => {
    const { clock, endpoint, tell, begin, kept, told, upstream } = await setUp();
    const borrower = begin(CHUNKED);
    borrower.release(false, clock.now());
    await tell(endpoint.headers(1, OK), endpoint.data(1, "late"));
    expect([endpoint.reset(1), borrower.text, kept.size, upstream.streams]).toEqual([H2_ERROR.cancel, "", 0, 0]);
    expect(told).toEqual(["ready"]);
  });
  test("an answer before the request is whole: the rest is not sent", async () => {
    const { clock, endpoint, tell, begin } = await setUp();
    const borrower = begin(`${POST}01234`);
    borrower.onData = () => borrower.release(false, clock.now());
    await tell(endpoint.headers(1, [[":status", "413"]], true));
    borrower.send("56789");
    await tell(endpoint.ping());
    expect([endpoint.reset(1), endpoint.body(1).toString()]).toEqual([H2_ERROR.cancel, "01234"]);
  });
});
