import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../base/fake-clock.ts";
import { FLAG, FRAME, H2_ERROR, SETTING } from "../../protocols/http2/frames.ts";
import { DeadlineSweep } from "../../transport/deadlines.ts";
import { Http2Upstream } from "./http2-upstream.ts";
import { asSocket, FakeBorrower, FakeSocket, FrameScript } from "./testing.ts";
import { UpstreamStream } from "./upstream-stream.ts";

const GET = "GET /a?b=1 HTTP/1.1\r\nHost: app.test\r\nX-One: 1\r\n\r\n";
const POST = "POST /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n";
const CHUNKED = "POST /up HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK = [[":status", "200"]] as const;

/** A connection whose endpoint has told `settings`. */
async function setUp(settings: number[] = [], options: { secure?: boolean; silent?: boolean } = {}) {
  const clock = new FakeClock();
  const sweep = new DeadlineSweep(clock, clock);
  const told: string[] = [];
  const kept = new Set<UpstreamStream>();
  const upstream = new Http2Upstream({
    maxResponseHead: 4_096,
    idleTimeoutMs: 55_000,
    secure: options.secure ?? false,
    now: () => clock.now(),
    upstreamReady: () => void told.push("ready"),
    upstreamFailed: (_upstream, code) => void told.push(code),
    upstreamClosed: () => {
      told.push("closed");
      sweep.remove(upstream);
    },
  });
  upstream.deadlineMs = 3_000;
  sweep.add(upstream);
  const socket = new FakeSocket(() => upstream);
  upstream.attach(asSocket(socket));
  const endpoint = new FrameScript();
  const heard = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    for (const bytes of socket.written.splice(0)) endpoint.receive(bytes);
  };
  const tell = async (...frames: Buffer[]): Promise<void> => {
    upstream.onData(Buffer.concat(frames));
    await heard();
  };
  const begin = (request: string): FakeBorrower => {
    const borrower = new FakeBorrower(request);
    const forget = (gone: UpstreamStream): void => void kept.delete(gone);
    const stream = new UpstreamStream(borrower, { forget });
    kept.add(stream);
    stream.place(upstream);
    borrower.begin(stream);
    return borrower;
  };
  upstream.opened(options.secure === true ? "h2" : "");
  if (options.silent !== true) await tell(endpoint.settings(...settings));
  return { clock, told, kept, upstream, socket, endpoint, heard, tell, begin };
}

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

describe("flow control", () => {
  test("what the endpoint does not want yet waits, and the exchange is told to wait", async () => {
    const { endpoint, heard, tell, begin } = await setUp([SETTING.initialWindowSize, 4]);
    const borrower = begin(`${POST}0123456789`);
    await heard();
    expect([endpoint.body(1).toString(), borrower.channel?.congested]).toEqual(["0123", true]);
    await tell(endpoint.windowUpdate(1, 3));
    expect([endpoint.body(1).toString(), borrower.drains, endpoint.ended(1)]).toEqual(["0123456", 0, false]);
    await tell(endpoint.settings(SETTING.initialWindowSize, 100));
    expect([endpoint.body(1).toString(), borrower.drains, endpoint.ended(1)]).toEqual(["0123456789", 1, true]);
  });
  test("the connection's window is shared in turn", async () => {
    const { endpoint, heard, tell, begin } = await setUp([SETTING.initialWindowSize, 1_000_000]);
    const filler = begin(CHUNKED);
    filler.send(`ffff\r\n${"f".repeat(65_535)}\r\n`);
    const [first, second] = [begin(CHUNKED), begin(CHUNKED)];
    for (const borrower of [first, second]) borrower.send(`a\r\n0123456789\r\n`);
    await heard();
    expect([first.channel?.congested, second.channel?.congested]).toEqual([true, true]);
    await tell(endpoint.windowUpdate(0, 5));
    first.send("a\r\nabcdefghij\r\n");
    await tell(endpoint.windowUpdate(0, 5));
    expect([endpoint.body(3).toString(), endpoint.body(5).toString()]).toEqual(["01234", "01234"]);
  });
  test("a window made smaller is below nothing until it is given back", async () => {
    const { endpoint, heard, tell, begin } = await setUp([SETTING.initialWindowSize, 6]);
    begin(`${POST}0123456789`);
    await heard();
    await tell(endpoint.settings(SETTING.initialWindowSize, 2), endpoint.windowUpdate(1, 4));
    expect(endpoint.body(1).toString()).toBe("012345");
    await tell(endpoint.windowUpdate(1, 4));
    expect(endpoint.body(1).toString()).toBe("0123456789");
  });
  test("DATA is cut to the endpoint's frame size", async () => {
    const { endpoint, heard, begin } = await setUp([SETTING.maxFrameSize, 20_000, SETTING.initialWindowSize, 65_535]);
    begin(POST.replace("10", "50000")).send("x".repeat(50_000));
    await heard();
    expect(endpoint.of(FRAME.data).map(({ payload }) => payload.length)).toEqual([20_000, 20_000, 10_000]);
  });
  test("a slow reader slows the endpoint down, and only its own stream", async () => {
    const { endpoint, tell, begin } = await setUp();
    const [slow, quick] = [begin(GET), begin(GET)];
    const kilobytes = (streamId: number, count: number) =>
      Array.from({ length: count }, () => endpoint.data(streamId, Buffer.alloc(1_024)));
    await tell(endpoint.headers(1, OK), endpoint.headers(3, OK));
    slow.channel?.pause();
    await tell(...kilobytes(1, 256), ...kilobytes(3, 256));
    expect([endpoint.credit(1), endpoint.credit(3)]).toEqual([0, 262_144]);
    slow.channel?.resume();
    await tell(endpoint.ping());
    expect(endpoint.credit(1)).toBe(262_144);
    await tell(...kilobytes(1, 256), ...kilobytes(1, 1).map((frame) => frame.subarray(0, 9)));
    expect([quick.failed, slow.failed]).toEqual([undefined, undefined]);
  });
  test("an endpoint that sends more than it may", async () => {
    const { endpoint, tell, begin } = await setUp();
    const [paused, other] = [begin(GET), begin(GET)];
    await tell(endpoint.headers(1, OK));
    paused.channel?.pause();
    for (let sent = 0; sent < 17; sent++) await tell(endpoint.data(1, Buffer.alloc(16_000)));
    expect([paused.failed, endpoint.reset(1)]).toEqual(["E_BAD_RESPONSE", H2_ERROR.flowControlError]);
    expect(paused.bytes).toBeLessThan(270_000);
    expect(other.failed).toBeUndefined();
  });
  test("a window that grows beyond what one may be", async () => {
    const { endpoint, tell, begin } = await setUp();
    const [first, second] = [begin(CHUNKED), begin(CHUNKED)];
    await tell(endpoint.windowUpdate(1, 0x7fffffff));
    expect([first.failed, second.failed]).toEqual(["E_BAD_RESPONSE", undefined]);
    await tell(endpoint.windowUpdate(0, 0x7fffffff));
    expect([second.closed, endpoint.goodbye()]).toEqual([false, H2_ERROR.flowControlError]);
  });
});

describe("an endpoint that misbehaves on the connection", () => {
  const wrong: [string, (endpoint: FrameScript) => Buffer, number][] = [
    ["DATA on a stream that never began", (endpoint) => endpoint.data(9, "x"), H2_ERROR.protocolError],
    ["HEADERS on one", (endpoint) => endpoint.headers(9, OK), H2_ERROR.protocolError],
    ["WINDOW_UPDATE on one", (endpoint) => endpoint.windowUpdate(9, 1), H2_ERROR.protocolError],
    ["RST_STREAM on one", (endpoint) => endpoint.rst(9, 0), H2_ERROR.protocolError],
    [
      "a field block that cannot be decoded",
      () => Buffer.from("0000010105000000018080", "hex").subarray(0, 10),
      H2_ERROR.compressionError,
    ],
    ["a frame that is too large", () => Buffer.from("004001000000000001", "hex"), H2_ERROR.frameSizeError],
    ["PUSH_PROMISE", () => Buffer.from("00000405040000000100000002", "hex"), H2_ERROR.protocolError],
  ];
  for (const [name, frame, code] of wrong)
    test(name, async () => {
      const { endpoint, tell, begin, told, socket } = await setUp();
      const borrower = begin(GET);
      await tell(frame(endpoint));
      expect([endpoint.goodbye(), borrower.closed, socket.ended]).toEqual([code, false, "end"]);
      expect(told).toEqual(["ready", "closed", "closed"]);
    });
  test("asks and asks and does not read", async () => {
    const { endpoint, tell, begin, socket, upstream } = await setUp();
    begin(GET);
    socket.room = 0;
    await tell(endpoint.ping());
    expect(upstream.congested).toBe(true);
    for (let count = 0; count < 1_001; count++) await tell(endpoint.ping());
    expect(socket.ended).toBe("end");
  });
  test("does not read for a minute, however much it asks meanwhile", async () => {
    const { clock, endpoint, tell, begin, socket } = await setUp();
    const borrower = begin(GET);
    socket.room = 0;
    for (let second = 0; second < 59; second++) {
      await tell(endpoint.ping());
      clock.advance(1_000);
    }
    expect(socket.ended).toBe("");
    clock.advance(1_200);
    expect([socket.ended, borrower.closed]).toEqual(["terminate", false]);
  });
  test("is gone without a word: asked when an exchange is given up, and closed when there is no answer", async () => {
    const { clock, endpoint, heard, begin, socket } = await setUp();
    const [first, second] = [begin(GET), begin(GET)];
    clock.advance(1_000);
    first.release(false, clock.now());
    await heard();
    expect(endpoint.of(FRAME.ping)).toHaveLength(1);
    clock.advance(5_100);
    expect([socket.ended, second.closed]).toEqual(["terminate", false]);
  });
  test("is slow, and says that it is there", async () => {
    const { clock, endpoint, tell, begin, socket } = await setUp();
    const [first, second] = [begin(GET), begin(GET)];
    clock.advance(1_000);
    first.release(false, clock.now());
    await tell(endpoint.ping(true));
    clock.advance(60_000);
    expect([socket.ended, second.closed]).toEqual(["", undefined]);
  });
});

describe("the end of a connection", () => {
  test("idle for too long", async () => {
    const { clock, endpoint, tell, heard, begin, socket } = await setUp();
    begin(GET);
    clock.advance(60_000);
    expect(socket.ended).toBe("");
    await tell(endpoint.headers(1, OK, true));
    clock.advance(55_100);
    await heard();
    expect([socket.ended, endpoint.goodbye()]).toEqual(["end", H2_ERROR.noError]);
  });
  test("not wanted any more: what runs goes on", async () => {
    const { endpoint, tell, begin, upstream, socket } = await setUp();
    const borrower = begin(GET);
    upstream.retire();
    expect([upstream.hasRoom, socket.ended]).toEqual([false, ""]);
    await tell(endpoint.headers(1, OK), endpoint.data(1, "all", true));
    expect(borrower.text).toEndWith("\r\n\r\n3\r\nall\r\n0\r\n\r\n");
    expect(socket.ended).toBe("end");
  });
});

describe("tunnels", () => {
  const UPGRADE =
    "GET /chat HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  test("as an extended CONNECT, both ways, until one ends", async () => {
    const { endpoint, heard, tell, begin, kept } = await setUp([SETTING.enableConnectProtocol, 1]);
    const borrower = begin(UPGRADE);
    await heard();
    expect(endpoint.of(FRAME.headers)[0]?.fields).toEqual([
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      [":scheme", "http"],
      [":path", "/chat"],
      [":authority", "app.test"],
      ["sec-websocket-version", "13"],
    ]);
    expect(endpoint.ended(1)).toBe(false);
    await tell(endpoint.headers(1, OK), endpoint.data(1, "from endpoint"));
    expect(borrower.text).toBe(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfrom endpoint",
    );
    borrower.send("from client");
    borrower.channel?.finishSending();
    await heard();
    expect([endpoint.body(1).toString(), endpoint.ended(1)]).toEqual(["from client", true]);
    await tell(endpoint.data(1, "", true));
    expect([borrower.closed, kept.size, endpoint.reset(1)]).toEqual([true, 0, undefined]);
  });
  test("refused by the endpoint: an answer like any other", async () => {
    const { endpoint, tell, begin } = await setUp([SETTING.enableConnectProtocol, 1]);
    const borrower = begin(UPGRADE);
    await tell(endpoint.headers(1, [[":status", "403"]], true));
    expect(borrower.text).toBe("HTTP/1.1 403 \r\nContent-Length: 0\r\n\r\n");
  });
  test("to an endpoint that has not announced it", async () => {
    const { endpoint, heard, begin, kept } = await setUp();
    const borrower = begin(UPGRADE);
    await heard();
    expect([borrower.failed, kept.size, endpoint.of(FRAME.headers).length]).toEqual(["E_ENDPOINT_PROTOCOL", 0, 0]);
  });
});
