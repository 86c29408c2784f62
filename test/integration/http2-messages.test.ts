/** What RFC 9113 says of single streams, of requests and of limits, and what must be accepted, frame by frame. */
import { beforeEach, describe, expect, test } from "bun:test";
import { okEndpoint, serve, use } from "../attacks/harness.ts";
import type { Balancer } from "../support/balancer.ts";
import { Cases, get, openPost, replaced, withFields, without } from "../support/http2-cases.ts";
import {
  ALL,
  data,
  END,
  FLAG,
  FRAME,
  FrameClient,
  frame,
  GET,
  H2_ERROR,
  headers,
  type Pair,
  POST,
  PREFACE,
  ping,
  SETTING,
  settings,
  uint32,
  windowUpdate,
} from "../support/http2-client.ts";
import { type RawEndpoint, startEchoEndpoint } from "../support/raw-endpoint.ts";

const { protocolError, flowControlError, frameSizeError, refusedStream, enhanceYourCalm } = H2_ERROR;

let balancer: Balancer;
let endpoint: RawEndpoint;
beforeEach(() => {
  endpoint = use(startEchoEndpoint());
  balancer = serve(endpoint.address);
});
const cases = new Cases(() => balancer);

describe("single streams", () => {
  cases.reset("5.3.1 of RFC 7540", protocolError, [
    [
      "a stream that depends on itself",
      frame(
        FRAME.headers,
        ALL | END | FLAG.priority,
        1,
        Buffer.concat([uint32(1), Buffer.from([0]), headers(1, GET).subarray(9)]),
      ),
    ],
    ["PRIORITY by which it does", openPost, frame(FRAME.priority, 0, 1, Buffer.from([0, 0, 0, 1, 0]))],
  ]);
  cases.reset("6.3", frameSizeError, [["PRIORITY of 4 bytes", openPost, frame(FRAME.priority, 0, 1, Buffer.alloc(4))]]);
  cases.reset("6.9", protocolError, [["WINDOW_UPDATE of 0", openPost, windowUpdate(1, 0)]]);
  cases.reset("6.9.1", flowControlError, [["a window above 2^31-1", openPost, windowUpdate(1, 2 ** 31 - 1)]]);

  cases.reset("8.1.1", protocolError, [
    ["more DATA than content-length", headers(1, [...POST, ["content-length", "3"]], ALL), data(1, "xxxx", END)],
    ["less DATA than content-length", headers(1, [...POST, ["content-length", "3"]], ALL), data(1, "xx", END)],
    ["no DATA, but content-length", headers(1, [...POST, ["content-length", "3"]])],
    ["DATA, but content-length of 0", headers(1, [...POST, ["content-length", "0"]], ALL), data(1, "x", END)],
    [
      "content-length twice",
      headers(1, [...POST, ["content-length", "1"], ["content-length", "1"]], ALL),
      data(1, "x", END),
    ],
    ["content-length with a sign", headers(1, [...POST, ["content-length", "+1"]], ALL), data(1, "x", END)],
    ["a list as content-length", headers(1, [...POST, ["content-length", "1, 1"]], ALL), data(1, "x", END)],
    [
      "less DATA than content-length, ended by trailers",
      headers(1, [...POST, ["content-length", "3"]], ALL),
      data(1, "xx"),
      headers(1, [["x", "1"]]),
    ],
  ]);
  cases.reset("8.1", protocolError, [
    ["HEADERS in the middle without the end", openPost, headers(1, [["x", "1"]], ALL)],
    ["a pseudo-header in trailers", openPost, headers(1, [[":path", "/"]])],
    ["content-length in trailers", openPost, headers(1, [["content-length", "1"]])],
    ["transfer-encoding in trailers", openPost, headers(1, [["transfer-encoding", "chunked"]])],
    ["a line break in trailers", openPost, headers(1, [["x", "1\r\ny: 2"]])],
  ]);

  cases.reset("8.2", protocolError, [
    ["an upper-case name", withFields(["X-Upper", "1"])],
    ["an empty name", withFields(["", "1"])],
    ["a space in a name", withFields(["x y", "1"])],
    ["a colon in a name", withFields(["x:y", "1"])],
    ["a line break in a name", withFields(["x\r\ny", "1"])],
    ["a byte above 0x7f in a name", withFields(["x\xe4", "1"])],
    ["CR LF in a value", withFields(["x", "1\r\nx-smuggled: 2"])],
    ["CR in a value", withFields(["x", "1\r2"])],
    ["LF in a value", withFields(["x", "1\n2"])],
    ["NUL in a value", withFields(["x", "1\x002"])],
    ["a space before a value", withFields(["x", " 1"])],
    ["a tab behind a value", withFields(["x", "1\t"])],
  ]);
  cases.reset("8.2.2", protocolError, [
    ["connection", withFields(["connection", "close"])],
    ["proxy-connection", withFields(["proxy-connection", "keep-alive"])],
    ["keep-alive", withFields(["keep-alive", "timeout=5"])],
    ["transfer-encoding", withFields(["transfer-encoding", "chunked"])],
    ["upgrade", withFields(["upgrade", "websocket"])],
    ["te with anything but trailers", withFields(["te", "trailers, deflate"])],
  ]);
  cases.reset("8.3", protocolError, [
    ["an unknown pseudo-header", withFields([":custom", "1"])],
    [":status in a request", headers(1, [...GET, [":status", "200"]])],
    ["a pseudo-header behind a field", headers(1, [["x", "1"], ...GET])],
    [":method twice", headers(1, [[":method", "GET"], ...GET])],
    [":path twice", headers(1, [[":path", "/"], ...GET])],
    [":authority twice", headers(1, [[":authority", "a.example"], ...GET])],
    [":scheme twice", headers(1, [[":scheme", "http"], ...GET])],
    ["no :method", headers(1, without(":method"))],
    ["no :scheme", headers(1, without(":scheme"))],
    ["no :path", headers(1, without(":path"))],
    ["neither :authority nor host", headers(1, without(":authority"))],
    ["an empty :path", headers(1, replaced(":path", ""))],
    ["a :path without a slash", headers(1, replaced(":path", "index.html"))],
    ["an absolute :path", headers(1, replaced(":path", "http://a.example/"))],
    ["a space in :path", headers(1, replaced(":path", "/ HTTP/1.1\r\nx: y"))],
    ["* for GET", headers(1, replaced(":path", "*"))],
    ["a :method that is no token", headers(1, replaced(":method", "GET /x HTTP/1.1\r\n"))],
    ["a :scheme that is none", headers(1, replaced(":scheme", "http://x"))],
    ["user information in :authority", headers(1, replaced(":authority", "user@a.example"))],
    ["host and :authority that differ", withFields(["host", "b.example"])],
    ["host twice", withFields(["host", "a.example"], ["host", "a.example"])],
  ]);
  cases.reset("8.5", protocolError, [
    [
      "CONNECT with :path",
      headers(
        1,
        [
          [":method", "CONNECT"],
          [":authority", "a:1"],
          [":path", "/"],
        ],
        ALL,
      ),
    ],
    [
      "CONNECT with :scheme",
      headers(
        1,
        [
          [":method", "CONNECT"],
          [":authority", "a:1"],
          [":scheme", "http"],
        ],
        ALL,
      ),
    ],
    ["CONNECT without :authority", headers(1, [[":method", "CONNECT"]], ALL)],
    [":protocol without CONNECT", headers(1, [...GET, [":protocol", "websocket"]])],
  ]);
});

describe("what must be accepted", () => {
  const field = headers(1, GET).subarray(9);
  const priority = Buffer.from([0, 0, 0, 7, 200]);
  cases.fine("4.1", [
    ["unknown frames and flags", frame(0xf0, 0xff, 0, Buffer.alloc(5)), frame(FRAME.headers, 0xd5 & ~0x28, 1, field)],
    ["the reserved bit of a stream's number", frame(FRAME.headers, END | ALL, 0x80000001, field)],
    ["unknown settings", settings([0xff, 7], [0, 1]), get],
  ]);
  cases.fine("6", [
    [
      "a padded block with a priority",
      frame(
        FRAME.headers,
        END | ALL | FLAG.padded | FLAG.priority,
        1,
        Buffer.concat([Buffer.from([3]), priority, field, Buffer.alloc(3)]),
      ),
    ],
    ["a block in 12 pieces, some empty", frame(FRAME.headers, END, 1), ...pieces(field, 12)],
    ["PRIORITY on an idle stream", frame(FRAME.priority, 0, 9, priority), get],
    [
      "padded and empty DATA",
      openPost,
      frame(FRAME.data, FLAG.padded, 1, Buffer.from([2, 1, 1, 1])),
      data(1, ""),
      data(1, "", END),
    ],
    ["the largest DATA", openPost, frame(FRAME.data, END, 1, Buffer.alloc(16_384))],
    [
      "the least and largest settings",
      settings([SETTING.maxFrameSize, 16_384], [SETTING.initialWindowSize, 2 ** 31 - 1]),
      settings([SETTING.headerTableSize, 0], [SETTING.maxFrameSize, 2 ** 24 - 1]),
      get,
    ],
    [
      "the largest window",
      windowUpdate(0, 2 ** 31 - 1 - 65_535),
      openPost,
      windowUpdate(1, 2 ** 31 - 1 - 65_535),
      data(1, "", END),
    ],
    ["the acknowledgement of a PING that was not sent", ping(FLAG.ack), get],
  ]);
  cases.fine("8", [
    ["trailers", openPost, data(1, "x"), headers(1, [["x-sum", "1"]])],
    ["te: trailers", withFields(["te", "trailers"])],
    ["host in place of :authority", headers(1, [...without(":authority"), ["host", "a.example"]])],
    ["host and :authority that are equal", withFields(["host", "A.example"])],
    [
      "OPTIONS *",
      headers(
        1,
        replaced(":path", "*").map(([key, value]): Pair => [key, key === ":method" ? "OPTIONS" : value]),
      ),
    ],
    ["any scheme", headers(1, replaced(":scheme", "https"))],
    ["values with bytes above 0x7f and tabs inside", withFields(["x", "\xe4\t\xff"], ["y", ""])],
  ]);

  test("6.9.2: a window below 0 sends nothing until it is above again", async () => {
    const client = await FrameClient.open(serve(okEndpoint().address).port, {
      hello: Buffer.concat([PREFACE, settings([SETTING.initialWindowSize, 1])]),
      keepWindowsOpen: false,
    });
    client.send(get);
    await client.until(() => client.answers.get(1)?.received === 1);
    client.send(settings([SETTING.initialWindowSize, 0]), windowUpdate(1, 1), ping());
    await client.until(() => client.frames.some(({ type }) => type === FRAME.ping));
    expect(client.answers.get(1)?.received).toBe(1);
    client.send(windowUpdate(1, 1));
    await client.until(() => client.isDone(1));
    expect(client.answers.get(1)?.body.toString()).toBe("ok");
  });

  test("6.5.3 and 6.7: SETTINGS and PING are acknowledged in turn", async () => {
    const client = await FrameClient.open(balancer.port);
    client.send(ping(), settings([SETTING.initialWindowSize, 5]), ping());
    await client.until(() => client.frames.filter(({ type }) => type === FRAME.ping).length === 2);
    const acks = client.frames.filter(
      ({ type, flags }) => (type === FRAME.ping || type === FRAME.settings) && flags === FLAG.ack,
    );
    expect(acks.map(({ type }) => type)).toEqual([FRAME.settings, FRAME.ping, FRAME.settings, FRAME.ping]);
  });
});

function pieces(bytes: Buffer, count: number): Buffer[] {
  const size = Math.ceil(bytes.length / (count - 4));
  return Array.from({ length: count }, (_, index) =>
    frame(FRAME.continuation, index === count - 1 ? ALL : 0, 1, bytes.subarray(index * size, (index + 1) * size)),
  );
}

describe("limits", () => {
  test("the stream limit is told and holds: streams above it are refused", async () => {
    const client = await FrameClient.open(balancer.port);
    client.send(...Array.from({ length: 140 }, (_, index) => headers(1 + 2 * index, POST, ALL)));
    await client.until(() => client.isDone(1 + 2 * 139));
    const refused = [...client.answers].filter(([, { reset: code }]) => code === refusedStream).map(([id]) => id);
    expect(refused).toEqual(Array.from({ length: 12 }, (_, index) => 257 + 2 * index));
    client.send(data(1, "x", END), headers(401, GET));
    await client.until(() => client.isDone(401) && client.isDone(1));
    expect([client.answers.get(1)?.status, client.goaway]).toEqual([200, undefined]);
  });

  test("too many or too large fields get 431, and the connection goes on", async () => {
    const many = Array.from({ length: 120 }, (_, index): Pair => [`x-${index}`, "1"]);
    // Below the limit as bytes, above it with the 32 that each field counts more.
    const large = Array.from({ length: 95 }, (_, index): Pair => [`x-${100 + index}`, "x".repeat(660)]);
    const client = await FrameClient.open(balancer.port);
    await client.until(() => client.frames.some(({ type, flags }) => type === FRAME.settings && flags === FLAG.ack));
    client.send(headers(1, [...GET, ...many]), headers(3, [...POST, ...many], ALL), data(3, "x", END));
    const whole = headers(5, [...GET, ...large]).subarray(9);
    client.send(frame(FRAME.headers, END, 5, whole.subarray(0, 16_000)));
    for (let at = 16_000; at < whole.length; at += 16_000)
      client.send(frame(FRAME.continuation, at + 16_000 < whole.length ? 0 : ALL, 5, whole.subarray(at, at + 16_000)));
    client.send(headers(7, GET));
    await client.until(() => client.isDone(7));
    expect([1, 3, 5, 7].map((id) => client.answers.get(id)?.status)).toEqual([431, 431, 431, 200]);
    expect(endpoint.received.join("")).not.toContain("x-1");
    expect(client.goaway).toBeUndefined();
  });

  test("a field block above the limit ends the connection", async () => {
    const client = await FrameClient.open(balancer.port);
    client.send(frame(FRAME.headers, END, 1, Buffer.alloc(16_000)));
    for (let piece = 0; piece < 5; piece++) client.send(frame(FRAME.continuation, 0, 1, Buffer.alloc(16_000)));
    await client.until(() => client.isOver);
    expect(client.goaway?.code).toBe(enhanceYourCalm);
  });
});
