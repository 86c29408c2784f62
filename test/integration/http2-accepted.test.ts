/** What RFC 9113 allows a client although it is unusual, and the limits it is held to. */
import { beforeEach, describe, expect, test } from "bun:test";
import { okEndpoint, serve, use } from "../attacks/harness.ts";
import type { Balancer } from "../support/balancer.ts";
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
  windowUpdate,
} from "../support/http2-client.ts";
import { type RawEndpoint, startEchoEndpoint } from "../support/raw-endpoint.ts";

const { refusedStream, enhanceYourCalm } = H2_ERROR;

let balancer: Balancer;
let endpoint: RawEndpoint;
beforeEach(() => {
  endpoint = use(startEchoEndpoint());
  balancer = serve(endpoint.address);
});

/** Stream 1 is answered all the same. */
function fine(section: string, cases: readonly (readonly [string, ...Buffer[]])[]): void {
  for (const [name, ...send] of cases) {
    test(`${section}: ${name}`, async () => {
      const client = await FrameClient.open(balancer.port);
      client.send(...send);
      await client.until(() => client.isDone(1));
      expect(client.describe()).toBe("1:200 ended");
    });
  }
}

const get = headers(1, GET);
const openPost = headers(1, POST, ALL);
/** Fields in place of, or behind those of a request. */
const withFields = (...pairs: readonly Pair[]): Buffer => headers(1, [...GET, ...pairs]);
const without = (name: string): Pair[] => GET.filter(([key]) => key !== name);
const replaced = (name: string, value: string): Pair[] =>
  GET.map(([key, before]): Pair => [key, key === name ? value : before]);

describe("what must be accepted", () => {
  const field = headers(1, GET).subarray(9);
  const priority = Buffer.from([0, 0, 0, 7, 200]);
  fine("4.1", [
    ["unknown frames and flags", frame(0xf0, 0xff, 0, Buffer.alloc(5)), frame(FRAME.headers, 0xd5 & ~0x28, 1, field)],
    ["the reserved bit of a stream's number", frame(FRAME.headers, END | ALL, 0x80000001, field)],
    ["unknown settings", settings([0xff, 7], [0, 1]), get],
  ]);
  fine("6", [
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
  fine("8", [
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
