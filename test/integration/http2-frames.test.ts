/**
 * What RFC 9113 sections 3 to 6 forbid a client: each case is bytes behind the preface and what must come of them, seen
 * by a client that shares no code with the frame reader.
 */
import { beforeEach, describe, expect, test } from "bun:test";
import { serve, use } from "../attacks/harness.ts";
import type { Balancer } from "../support/balancer.ts";
import { Cases, get, openPost } from "../support/http2-cases.ts";
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
  integer,
  POST,
  PREFACE,
  ping,
  rstStream,
  SETTING,
  settings,
  uint32,
  windowUpdate,
} from "../support/http2-client.ts";
import { type RawEndpoint, startEchoEndpoint } from "../support/raw-endpoint.ts";

const { protocolError, flowControlError, streamClosed, frameSizeError, compressionError } = H2_ERROR;

let balancer: Balancer;
let endpoint: RawEndpoint;
beforeEach(() => {
  endpoint = use(startEchoEndpoint());
  balancer = serve(endpoint.address);
});
const cases = new Cases(() => balancer);

interface Hello {
  readonly name: string;
  readonly send: readonly Buffer[];
  /** Instead of the preface and SETTINGS. */
  readonly hello: Buffer;
}

describe("the connection", () => {
  const hellos: Hello[] = [
    { name: "a wrong preface behind its first line", hello: Buffer.from("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), send: [] },
    { name: "no SETTINGS first, but a request", hello: PREFACE, send: [get] },
    { name: "no SETTINGS first, but PING", hello: PREFACE, send: [ping()] },
    {
      name: "no SETTINGS first, but their acknowledgement",
      hello: PREFACE,
      send: [frame(FRAME.settings, FLAG.ack, 0)],
    },
  ];
  for (const { name, hello, send } of hellos) {
    test(`3.4: ${name}`, async () => {
      const client = await FrameClient.open(balancer.port, { hello });
      client.send(...send);
      await client.until(() => client.isOver);
      expect(client.goaway?.code).toBe(protocolError);
    });
  }

  cases.fatal("4.2", frameSizeError, [
    ["DATA larger than SETTINGS_MAX_FRAME_SIZE", openPost, frame(FRAME.data, 0, 1, Buffer.alloc(16_385))],
    ["HEADERS larger than that", frame(FRAME.headers, ALL | END, 1, Buffer.alloc(16_385))],
    ["an unknown frame larger than that", frame(0xf0, 0, 0, Buffer.alloc(16_385))],
  ]);

  cases.fatal("4.3", compressionError, [
    [
      "a field block that cannot be decoded",
      frame(FRAME.headers, END | ALL, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])),
    ],
    ["an index that is in no table", frame(FRAME.headers, END | ALL, 1, Buffer.from([0x82, 0xff, 0x00]))],
    ["index 0", frame(FRAME.headers, END | ALL, 1, Buffer.from([0x80]))],
    ["a block that stops in a field", frame(FRAME.headers, END | ALL, 1, Buffer.from([0x00, 0x05, 0x61]))],
    ["a size update above the limit", frame(FRAME.headers, END | ALL, 1, Buffer.concat([integer(4_097, 5, 0x20)]))],
    ["a size update behind a field", frame(FRAME.headers, END | ALL, 1, Buffer.from([0x82, 0x20]))],
    ["Huffman code that pads with zeros", frame(FRAME.headers, END | ALL, 1, Buffer.from([0x00, 0x81, 0x00, 0x00]))],
    [
      "a block of a stream that was reset",
      openPost,
      rstStream(1, 8),
      frame(FRAME.headers, ALL, 1, Buffer.from([0x80])),
    ],
  ]);

  cases.fatal("5.1", protocolError, [
    ["DATA on an idle stream", data(1, "x")],
    ["RST_STREAM on an idle stream", rstStream(1, 8)],
    ["WINDOW_UPDATE on an idle stream", windowUpdate(1, 1)],
    ["WINDOW_UPDATE of 0 on an idle stream", windowUpdate(1, 0)],
    ["CONTINUATION on an idle stream", frame(FRAME.continuation, ALL, 1)],
    ["DATA on an even stream", get, data(2, "x")],
    ["WINDOW_UPDATE on an even stream", get, windowUpdate(2, 1)],
  ]);
  cases.fatal("5.1.1", protocolError, [
    ["an even number", headers(2, GET)],
    ["a number that is lower than one before", headers(5, GET), headers(3, GET)],
  ]);

  cases.fatal("6.1", protocolError, [
    ["DATA on stream 0", data(0, "x")],
    ["padding as long as the frame", openPost, frame(FRAME.data, FLAG.padded, 1, Buffer.from([4, 1, 2, 3]))],
  ]);
  cases.fatal("6.1", frameSizeError, [["padded DATA without a length", openPost, frame(FRAME.data, FLAG.padded, 1)]]);
  cases.fatal("6.2", protocolError, [
    ["HEADERS on stream 0", headers(0, GET)],
    ["padding longer than the frame", frame(FRAME.headers, ALL | END | FLAG.padded, 1, Buffer.from([9, 0x82]))],
    ["DATA within a field block", headers(1, GET, END), data(1, "x")],
    ["PING within a field block", headers(1, GET, END), ping()],
    ["an unknown frame within a field block", headers(1, GET, END), frame(0xf0, 0, 0)],
    ["HEADERS within a field block", headers(1, GET, END), headers(3, GET)],
    ["CONTINUATION of another stream", headers(1, GET, END), frame(FRAME.continuation, ALL, 3)],
    ["CONTINUATION behind a complete block", get, frame(FRAME.continuation, ALL, 1)],
  ]);
  cases.fatal("6.2", frameSizeError, [
    ["too short for its priority", frame(FRAME.headers, ALL | FLAG.priority, 1, Buffer.alloc(4))],
  ]);
  cases.fatal("6.3", protocolError, [["PRIORITY on stream 0", frame(FRAME.priority, 0, 0, Buffer.alloc(5))]]);
  cases.fatal("6.4", protocolError, [["RST_STREAM on stream 0", rstStream(0, 8)]]);
  cases.fatal("6.4", frameSizeError, [
    ["RST_STREAM of 3 bytes", openPost, frame(FRAME.rstStream, 0, 1, Buffer.alloc(3))],
  ]);
  cases.fatal("6.5", protocolError, [["SETTINGS on a stream", frame(FRAME.settings, 0, 1)]]);
  cases.fatal("6.5", frameSizeError, [
    ["SETTINGS of 5 bytes", frame(FRAME.settings, 0, 0, Buffer.alloc(5))],
    ["an acknowledgement with content", frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(6))],
  ]);
  cases.fatal("6.5.2", protocolError, [
    ["ENABLE_PUSH of 2", settings([SETTING.enablePush, 2])],
    ["MAX_FRAME_SIZE of 16,383", settings([SETTING.maxFrameSize, 16_383])],
    ["MAX_FRAME_SIZE of 2^24", settings([SETTING.maxFrameSize, 2 ** 24])],
    ["ENABLE_CONNECT_PROTOCOL of 2", settings([SETTING.enableConnectProtocol, 2])],
    ["NO_RFC7540_PRIORITIES of 2", settings([SETTING.noRfc7540Priorities, 2])],
  ]);
  cases.fatal("6.5.2", flowControlError, [
    ["INITIAL_WINDOW_SIZE of 2^31", settings([SETTING.initialWindowSize, 2 ** 31])],
  ]);
  cases.fatal("6.6", protocolError, [["PUSH_PROMISE", frame(FRAME.pushPromise, ALL, 1, uint32(2))]]);
  cases.fatal("6.7", protocolError, [["PING on a stream", frame(FRAME.ping, 0, 1, Buffer.alloc(8))]]);
  cases.fatal("6.7", frameSizeError, [["PING of 7 bytes", frame(FRAME.ping, 0, 0, Buffer.alloc(7))]]);
  cases.fatal("6.8", protocolError, [["GOAWAY on a stream", frame(FRAME.goaway, 0, 1, Buffer.alloc(8))]]);
  cases.fatal("6.8", frameSizeError, [["GOAWAY of 7 bytes", frame(FRAME.goaway, 0, 0, Buffer.alloc(7))]]);
  cases.fatal("6.9", protocolError, [["WINDOW_UPDATE of 0 on the connection", windowUpdate(0, 0)]]);
  cases.fatal("6.9", frameSizeError, [["WINDOW_UPDATE of 3 bytes", frame(FRAME.windowUpdate, 0, 0, Buffer.alloc(3))]]);
  cases.fatal("6.9.1", flowControlError, [["the connection's window above 2^31-1", windowUpdate(0, 2 ** 31 - 1)]]);
  cases.fatal("6.9.2", flowControlError, [
    [
      "a stream's window above 2^31-1 by SETTINGS",
      openPost,
      windowUpdate(1, 2 ** 31 - 1 - 65_535),
      settings([SETTING.initialWindowSize, 65_536]),
    ],
  ]);
});

describe("closed streams", () => {
  const ended = async (): Promise<FrameClient> => {
    const client = await FrameClient.open(balancer.port);
    client.send(get);
    await client.until(() => client.isDone(1));
    return client;
  };
  for (const [name, bytes] of [
    ["DATA", data(1, "x")],
    ["HEADERS", get],
  ] as const) {
    test(`5.1: ${name} on a stream that has ended`, async () => {
      const client = await ended();
      client.send(bytes);
      await client.until(() => client.isOver);
      expect(client.goaway?.code).toBe(streamClosed);
    });
  }

  test("5.1: WINDOW_UPDATE, RST_STREAM and PRIORITY on a stream that has ended are ignored", async () => {
    const client = await ended();
    client.send(
      windowUpdate(1, 5),
      rstStream(1, 8),
      frame(FRAME.priority, 0, 1, Buffer.from([0, 0, 0, 3, 1])),
      headers(3, GET),
    );
    await client.until(() => client.isDone(3));
    expect(client.describe()).toBe("1:200 ended, 3:200 ended");
  });

  test("5.1: what was under way when we reset a stream is ignored, and decoded, and given back to the window", async () => {
    const client = await FrameClient.open(balancer.port);
    client.send(headers(1, [...POST, ["content-length", "1"]], ALL), data(1, "too much"));
    await client.until(() => client.isDone(1));
    for (let round = 0; round < 90; round++) client.send(data(1, Buffer.alloc(16_384)));
    client.send(headers(1, [["x-trailer", "1"]]), headers(3, GET));
    await client.until(() => client.isDone(3));
    expect(client.answers.get(3)?.status).toBe(200);
    expect(
      client.frames.filter(({ type, streamId }) => type === FRAME.windowUpdate && streamId === 0).length,
    ).toBeGreaterThan(1);
  });

  cases.fatal("5.1", streamClosed, [
    ["HEADERS on a stream that was skipped and is closed", headers(5, GET), data(3, "x")],
  ]);
  cases.reset("5.1", streamClosed, [
    ["DATA on a half-closed stream", headers(1, [...POST.slice(0, 3), [":path", "/wait"]]), data(1, "x")],
    [
      "HEADERS on a half-closed stream",
      headers(1, [...POST.slice(0, 3), [":path", "/wait"]]),
      headers(1, [["x", "1"]]),
    ],
    ["DATA on a stream that it has reset itself", openPost, rstStream(1, 8), data(1, "x")],
  ]);
});
