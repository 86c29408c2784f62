import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import { FrameReader } from "./frame-reader.ts";
import {
  beginHeaders,
  endHeaders,
  writeData,
  writeFrameHeader,
  writeGoaway,
  writePing,
  writePreface,
  writeRstStream,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from "./frame-writers.ts";
import { FLAG, FRAME, H2_ERROR, SETTING } from "./frames.ts";
import { DEFAULT_READER_LIMITS, type FrameReaderOptions } from "./reader-options.ts";
import { hex, Output, Recorder } from "./testing.ts";

const open = (options: Partial<FrameReaderOptions> = {}): { reader: FrameReader; recorder: Recorder } => {
  const recorder = new Recorder();
  return { recorder, reader: new FrameReader(recorder, { ...DEFAULT_READER_LIMITS, role: "client", ...options }) };
};
const frame = (type: number, flags: number, streamId: number, payload = ""): Buffer => {
  const bytes = hex(payload);
  const header = Buffer.alloc(9);
  header.writeUIntBE(bytes.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, bytes]);
};
const SETTINGS = frame(FRAME.settings, 0, 0);
/** Events after an empty SETTINGS frame. */
const read = (frames: readonly Buffer[], options: Partial<FrameReaderOptions> = {}): string[] => {
  const { reader, recorder } = open(options);
  const bytes = Buffer.concat([SETTINGS, ...frames]);
  reader.consume(bytes, 0, bytes.length);
  return recorder.events.slice(1);
};
const error = (code: keyof typeof H2_ERROR): string => `connection-error ${H2_ERROR[code]}`;

/** One of everything, as a client sends it. */
function everything(): Buffer {
  const output = new Output();
  writePreface(output);
  writeSettings(output, [SETTING.enablePush, 0, SETTING.initialWindowSize, 1_000, 0x99, 7]);
  writeSettingsAck(output);
  const mark = beginHeaders(output);
  output.reserve(40_000);
  output.bytes.fill("h", output.length, output.length + 40_000);
  output.length += 40_000;
  endHeaders(output, mark, 1, false, 16_384);
  writeData(output, 1, Buffer.from("xhellox"), 1, 6, false);
  writeData(output, 1, Buffer.alloc(0), 0, 0, true);
  writePing(output, Buffer.from("..pingpong"), 2, false);
  writePing(output, Buffer.from("pingpong"), 0, true);
  writeRstStream(output, 1, H2_ERROR.cancel);
  writeWindowUpdate(output, 0, 0x7fffffff);
  writeWindowUpdate(output, 3, 1);
  writeGoaway(output, 0x7fffffff, H2_ERROR.enhanceYourCalm, "too much");
  return Buffer.concat([
    output.take(),
    frame(FRAME.data, FLAG.padded | FLAG.endStream, 3, "03 6162 000000"),
    frame(FRAME.data, FLAG.padded, 3, "00"),
    frame(FRAME.headers, FLAG.padded | FLAG.priority | FLAG.endHeaders | FLAG.endStream, 5, "02 00000003 10 8286 0000"),
    frame(FRAME.headers, FLAG.endStream, 7, "82"),
    frame(FRAME.continuation, 0, 7, ""),
    frame(FRAME.continuation, FLAG.endHeaders, 7, "84"),
    frame(FRAME.priority, 0, 9, "00000003 10"),
    frame(0xfe, 0xff, 0, "0102"),
    frame(0x10, 0, 11, ""),
  ]);
}

const EVERYTHING = [
  ...["setting 2 0", "setting 4 1000", "setting 153 7", "settings-end", "settings-ack"],
  `headers 1 ${"68".repeat(40_000)} false 0`,
  ...["data-begin 1 5", "data 1 68656c6c6f false 0", "data-begin 1 0", "data 1  true 0"],
  ...["ping 70696e67706f6e67", "ping-ack 70696e67706f6e67", "rst 1 8", "window 0 2147483647", "window 3 1"],
  "goaway 2147483647 11 too much",
  ...["data-begin 3 6", "data 3 6162 true 4", "data-begin 3 1", "data 3  false 1"],
  ...["headers 5 8286 true 0", "headers 7 8284 true 0", "priority 9", "unknown 254 0", "unknown 16 11"],
];

describe("however the bytes are cut, the events are the same", () => {
  const bytes = everything();

  test("in one piece", () => {
    const { reader, recorder } = open({ role: "server" });
    reader.consume(bytes, 0, bytes.length);
    expect(recorder.events).toEqual(EVERYTHING);
    expect([reader.midFrame, reader.stopped]).toEqual([false, false]);
  });

  for (const size of [1, 2, 3, 7, 8, 9, 10, 13, 100, 5_000, 16_384, 16_393]) {
    test(`in pieces of ${size}`, () => {
      const { reader, recorder } = open({ role: "server" });
      for (let at = 0; at < bytes.length; at += size) {
        // A piece's bytes are overwritten after it was read: nothing may be kept by reference.
        const piece = Buffer.from(bytes.subarray(at, at + size));
        reader.consume(piece, 0, piece.length);
        piece.fill(0xaa);
      }
      expect(recorder.events).toEqual(EVERYTHING);
    });
  }

  test("in random pieces", () => {
    const random = seededRandom(5);
    for (let round = 0; round < 100; round++) {
      const { reader, recorder } = open({ role: "server" });
      for (let at = 0; at < bytes.length; ) {
        const next = Math.min(bytes.length, at + 1 + random.below(random.below(2) === 0 ? 12 : 20_000));
        reader.consume(bytes, at, next);
        at = next;
      }
      expect(recorder.events).toEqual(EVERYTHING);
    }
  });
});

describe("connection errors", () => {
  const bad: [what: string, frames: Buffer[], code: keyof typeof H2_ERROR][] = [
    ["DATA on stream 0", [frame(FRAME.data, 0, 0, "00")], "protocolError"],
    ["HEADERS on stream 0", [frame(FRAME.headers, 4, 0, "82")], "protocolError"],
    ["HEADERS on an even stream", [frame(FRAME.headers, 4, 2, "82")], "protocolError"],
    ["PRIORITY on stream 0", [frame(FRAME.priority, 0, 0, "0000000110")], "protocolError"],
    ["RST_STREAM on stream 0", [frame(FRAME.rstStream, 0, 0, "00000000")], "protocolError"],
    ["RST_STREAM of 3 bytes", [frame(FRAME.rstStream, 0, 1, "000000")], "frameSizeError"],
    ["RST_STREAM of 5 bytes", [frame(FRAME.rstStream, 0, 1, "0000000000")], "frameSizeError"],
    ["SETTINGS on a stream", [frame(FRAME.settings, 0, 1)], "protocolError"],
    ["SETTINGS of 5 bytes", [frame(FRAME.settings, 0, 0, "0001000000")], "frameSizeError"],
    ["SETTINGS ACK with a payload", [frame(FRAME.settings, 1, 0, "000100000000")], "frameSizeError"],
    ["ENABLE_PUSH 2", [frame(FRAME.settings, 0, 0, "000200000002")], "protocolError"],
    ["INITIAL_WINDOW_SIZE 2^31", [frame(FRAME.settings, 0, 0, "000480000000")], "flowControlError"],
    ["MAX_FRAME_SIZE 16383", [frame(FRAME.settings, 0, 0, "000500003fff")], "protocolError"],
    ["MAX_FRAME_SIZE 2^24", [frame(FRAME.settings, 0, 0, "000501000000")], "protocolError"],
    ["ENABLE_CONNECT_PROTOCOL 2", [frame(FRAME.settings, 0, 0, "000800000002")], "protocolError"],
    ["PUSH_PROMISE", [frame(FRAME.pushPromise, 4, 1, "0000000282")], "protocolError"],
    ["PING on a stream", [frame(FRAME.ping, 0, 1, "0000000000000000")], "protocolError"],
    ["PING of 7 bytes", [frame(FRAME.ping, 0, 0, "00000000000000")], "frameSizeError"],
    ["GOAWAY on a stream", [frame(FRAME.goaway, 0, 1, "0000000000000000")], "protocolError"],
    ["GOAWAY of 7 bytes", [frame(FRAME.goaway, 0, 0, "00000000000000")], "frameSizeError"],
    ["WINDOW_UPDATE of 3 bytes", [frame(FRAME.windowUpdate, 0, 0, "000001")], "frameSizeError"],
    ["WINDOW_UPDATE 0 of the connection", [frame(FRAME.windowUpdate, 0, 0, "80000000")], "protocolError"],
    ["CONTINUATION alone", [frame(FRAME.continuation, 4, 1, "82")], "protocolError"],
    ["DATA with too much padding", [frame(FRAME.data, FLAG.padded, 1, "0461 6161")], "protocolError"],
    ["DATA padded, without a length", [frame(FRAME.data, FLAG.padded, 1)], "frameSizeError"],
    ["HEADERS with too much padding", [frame(FRAME.headers, FLAG.padded | 4, 1, "0282")], "protocolError"],
    ["HEADERS padded, without a length", [frame(FRAME.headers, FLAG.padded | 4, 1)], "frameSizeError"],
    ["HEADERS with half a priority", [frame(FRAME.headers, FLAG.priority | 4, 1, "00000001")], "frameSizeError"],
    ["a frame too large", [frame(FRAME.data, 0, 1, "00".repeat(16_385))], "frameSizeError"],
    ["an unknown frame too large", [frame(0x77, 0, 1, "00".repeat(16_385))], "frameSizeError"],
  ];
  const interrupting: [string, Buffer][] = [
    ["DATA", frame(FRAME.data, 0, 1)],
    ["HEADERS", frame(FRAME.headers, 4, 3, "82")],
    ["PRIORITY", frame(FRAME.priority, 0, 1, "0000000310")],
    ["PING", frame(FRAME.ping, 0, 0, "0000000000000000")],
    ["an unknown frame", frame(0x77, 0, 0)],
    ["CONTINUATION of another stream", frame(FRAME.continuation, 4, 3)],
  ];
  for (const [what, other] of interrupting)
    bad.push([`${what} inside a field block`, [frame(FRAME.headers, 0, 1, "82"), other], "protocolError"]);
  const many = (count: number, payload: string): Buffer[] => [
    frame(FRAME.headers, 0, 1, "82"),
    ...Array.from({ length: count }, () => frame(FRAME.continuation, 0, 1, payload)),
  ];
  bad.push(["17 empty CONTINUATION frames", many(17, ""), "enhanceYourCalm"]);
  bad.push(["a field block over its limit", many(4, "00".repeat(16_384)), "enhanceYourCalm"]);

  for (const [what, frames, code] of bad) {
    test(what, () => {
      const events = read([...frames, frame(FRAME.ping, 0, 0, "0000000000000000")]);
      expect(events.filter((event) => event.startsWith("connection-error"))).toEqual([error(code)]);
      expect(events.at(-1)).toBe(error(code));
    });
  }

  test("a server may not enable push, a client may", () => {
    const enable = frame(FRAME.settings, 0, 0, "000200000001");
    expect(read([enable])).toEqual([error("protocolError")]);
    const { reader, recorder } = open({ role: "server" });
    const bytes = Buffer.concat([everything().subarray(0, 24), enable]);
    reader.consume(bytes, 0, bytes.length);
    expect(recorder.events).toEqual(["setting 2 1", "settings-end"]);
  });

  test("no setting of a frame counts when one of them is wrong", () => {
    expect(read([frame(FRAME.settings, 0, 0, "000100000000 000200000002")])).toEqual([error("protocolError")]);
  });

  test("a preface that is wrong, at its first wrong byte", () => {
    const { reader, recorder } = open({ role: "server" });
    reader.consume(Buffer.from("PRI * HTTP/1"), 0, 12);
    expect(recorder.events).toEqual([error("protocolError")]);
    expect(reader.stopped).toBe(true);
    reader.consume(Buffer.from("PRI"), 0, 3);
    expect(recorder.events).toHaveLength(1);
  });

  test("a first frame that is not SETTINGS, or only acknowledges some", () => {
    for (const first of [frame(FRAME.ping, 0, 0, "0000000000000000"), frame(FRAME.settings, FLAG.ack, 0)]) {
      const { reader, recorder } = open();
      reader.consume(first, 0, first.length);
      expect(recorder.events).toEqual([error("protocolError")]);
    }
  });
});

describe("what is no error", () => {
  test("16 CONTINUATION frames, and a block of just the limit", () => {
    const pieces = Array.from({ length: 15 }, () => frame(FRAME.continuation, 0, 1, "61".repeat(4_095)));
    const events = read([
      frame(FRAME.headers, 0, 1, "61".repeat(4_095)),
      ...pieces,
      frame(FRAME.continuation, 4, 1, "61".repeat(16)),
    ]);
    expect(events).toEqual([`headers 1 ${"61".repeat(65_536)} false 0`]);
  });

  test("reserved bits, and flags that mean nothing here", () => {
    expect(read([frame(FRAME.windowUpdate, 0xff, 0x80000003, "80000005")])).toEqual(["window 3 5"]);
    expect(read([frame(FRAME.rstStream, 0xff, 0x80000003, "ffffffff")])).toEqual(["rst 3 4294967295"]);
  });

  test("padding that fills the whole frame", () => {
    expect(read([frame(FRAME.data, FLAG.padded, 1, "02 0000")])).toEqual(["data-begin 1 3", "data 1  false 3"]);
    expect(read([frame(FRAME.headers, FLAG.padded | 4, 1, "02 0000")])).toEqual(["headers 1  false 0"]);
  });
});

test("stream errors", () => {
  expect(read([frame(FRAME.priority, 0, 3, "00000001")])).toEqual([`stream-error 3 ${H2_ERROR.frameSizeError}`]);
  expect(read([frame(FRAME.priority, 0, 3, "8000000310")])).toEqual([`stream-error 3 ${H2_ERROR.protocolError}`]);
  expect(read([frame(FRAME.windowUpdate, 0, 3, "00000000")])).toEqual([`stream-error 3 ${H2_ERROR.protocolError}`]);
  const selfDependent = frame(FRAME.headers, FLAG.priority | FLAG.endHeaders, 3, "0000000310 82");
  expect(read([selfDependent])).toEqual([`headers 3 82 false ${H2_ERROR.protocolError}`]);
});

test("a handler that stops the reader is told nothing any more", () => {
  const { reader, recorder } = open();
  recorder.ping = () => reader.stop();
  const ping = frame(FRAME.ping, 0, 0, "0000000000000000");
  const bytes = Buffer.concat([SETTINGS, ping, frame(FRAME.settings, FLAG.ack, 0), ping]);
  reader.consume(bytes, 0, bytes.length);
  expect(recorder.events).toEqual(["settings-end"]);
  for (const method of ["dataBegin", "data", "dataEnd"] as const) {
    const other = open();
    other.recorder[method] = () => other.reader.stop();
    const data = Buffer.concat([SETTINGS, frame(FRAME.data, FLAG.padded, 1, "01 6161 00"), ping]);
    other.reader.consume(data, 0, data.length);
    expect(other.recorder.events).not.toContain("ping 0000000000000000");
    expect(other.recorder.events).not.toContain("data 1 6161 false 2");
  }
});

test("random bytes, and frames with random bytes changed, never throw and end in at most one error", () => {
  const random = seededRandom(9);
  const valid = everything();
  for (let round = 0; round < 2_000; round++) {
    const { reader, recorder } = open({ role: round % 2 === 0 ? "server" : "client" });
    let bytes: Buffer;
    if (round % 4 < 2) {
      bytes = Buffer.from(valid.subarray(0, 200));
      for (let change = 0; change < 3; change++) bytes[24 + random.below(176)] = random.below(256);
      if (round % 4 === 1) bytes = bytes.subarray(24);
    } else {
      const frames = Array.from({ length: 4 }, () => {
        const payload = Buffer.from(Array.from({ length: random.below(20) }, () => random.below(256)));
        return frame(random.below(12), random.below(256), random.below(6), payload.toString("hex"));
      });
      bytes = Buffer.concat(round % 4 === 2 ? [valid.subarray(0, 24), SETTINGS, ...frames] : [SETTINGS, ...frames]);
    }
    const cut = random.below(bytes.length + 1);
    reader.consume(bytes, 0, cut);
    reader.consume(bytes, cut, bytes.length);
    const errors = recorder.events.filter((event) => event.startsWith("connection-error"));
    expect(errors.length).toBe(reader.stopped ? 1 : 0);
    if (errors.length > 0) expect(recorder.events.at(-1)).toBe(errors[0] as string);
  }
});

test("a field block that has to be sent in pieces is put together again", () => {
  for (const total of [0, 1, 16_384, 16_385, 32_768, 32_769, 60_000]) {
    const output = new Output();
    writeFrameHeader(output, 0, FRAME.settings, 0, 0);
    const mark = beginHeaders(output);
    output.reserve(total);
    for (let index = 0; index < total; index++) output.bytes[output.length++] = index % 251;
    endHeaders(output, mark, 1, true, 16_384);
    writePing(output, Buffer.from("pingpong"), 0, false);
    const { reader, recorder } = open();
    reader.consume(output.bytes, 0, output.length);
    const expected = Buffer.from(Array.from({ length: total }, (_, index) => index % 251)).toString("hex");
    expect(recorder.events.slice(1)).toEqual([`headers 1 ${expected} true 0`, "ping 70696e67706f6e67"]);
  }
});
