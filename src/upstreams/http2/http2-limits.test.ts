import { describe, expect, test } from "bun:test";
import { FRAME, H2_ERROR, SETTING } from "../../protocols/http2/frames.ts";
import { connectedUpstream as setUp } from "./fake-connection.ts";
import type { FrameScript } from "./testing.ts";

const GET = "GET /a?b=1 HTTP/1.1\r\nHost: app.test\r\nX-One: 1\r\n\r\n";
const POST = "POST /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n";
const CHUNKED = "POST /up HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK = [[":status", "200"]] as const;

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
